//! Limits of the named statements of one client, where pgvalet keeps their texts
//! (transaction mode), and the error for a client that exceeds them.

use crate::common::memory::Memory;
use crate::common::raw::{Message, Raw, close, parse, run, sqlstate, sync, tags};
use crate::common::setup::proxy;
use crate::common::{Cluster, Proxy};

const MB: usize = 1 << 20;
/// Bytes of what is kept and of what is on its way: a message as it was read, and
/// as it is written, each in memory that had to grow and is in pieces.
const MOST: usize = 256 * MB;

/// Four of them fit, five do not.
fn large(n: usize) -> Vec<u8> {
    let text = format!("select {n} /* {} */", "x".repeat(15 * MB));
    parse(&format!("large_{n}"), &text)
}

fn is_refused(answer: &[Message]) {
    assert_eq!(sqlstate(answer).as_deref(), Some("54000"));
    let (_, body) = &answer.iter().find(|(tag, _)| *tag == b'E').expect("E");
    let text = String::from_utf8_lossy(body);
    assert!(
        text.contains("64 MB") && text.contains("pool_mode"),
        "{text}"
    );
}

async fn start(cluster: &Cluster, mode: &str) -> (Proxy, Raw) {
    let keys = format!("pool_size = 2\npool_mode = \"{mode}\"");
    let proxy = proxy(cluster, &keys).await;
    let raw = Raw::connect(&proxy).await;
    (proxy, raw)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_keeps_so_much_and_no_more() {
    let cluster = Cluster::start().await;
    let (proxy, mut raw) = start(&cluster, "transaction").await;
    for n in 0..4 {
        let answer = raw.ask(&[large(n), sync()].concat()).await;
        assert_eq!(tags(&answer), "1Z", "{n}");
    }
    // Refused in its place: what came before it has happened, what comes
    // behind it has not.
    let batch = [
        parse("small", "select 'small'"),
        large(4),
        parse("behind", "select 1"),
        sync(),
    ];
    let answer = raw.ask(&batch.concat()).await;
    assert_eq!(tags(&answer), "1EZ");
    is_refused(&answer);
    let answer = raw.ask(&[run("small"), sync()].concat()).await;
    assert_eq!(tags(&answer), "2DCZ");
    let answer = raw.ask(&[run("behind"), sync()].concat()).await;
    assert_eq!(sqlstate(&answer).as_deref(), Some("26000"));
    // What is closed makes room, once that is answered: a batch is answered
    // at its end.
    let batch = [run("small"), close("large_0"), large(4), sync()].concat();
    let answer = raw.ask(&batch).await;
    assert_eq!(tags(&answer), "2DC3EZ");
    is_refused(&answer);
    let batch = [large(4), run("large_4"), sync()].concat();
    let answer = raw.ask(&batch).await;
    assert_eq!(tags(&answer), "12DCZ");
    // The next client has room of its own.
    let mut other = Raw::connect(&proxy).await;
    let answer = other
        .ask(&[large(0), run("large_0"), sync()].concat())
        .await;
    assert_eq!(tags(&answer), "12DCZ");
}

/// Statements that are closed in the batch that parsed them are kept for its
/// answers: those have an end too.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_closed_at_once_counts_until_the_batch_is_over() {
    let cluster = Cluster::start().await;
    let (proxy, mut raw) = start(&cluster, "transaction").await;
    let memory = Memory::now(&proxy);
    let work = async {
        for n in 0..40 {
            let name = format!("large_{n}");
            raw.send(&[large(n), close(&name)].concat()).await;
        }
        let answer = raw.ask(&sync()).await;
        assert_eq!(tags(&answer), "13131313EZ");
        is_refused(&answer);
    };
    let growth = memory.growth("closed statements", work).await;
    assert!(growth < MOST, "{growth} bytes");
    // In batches of their own there is no end to them.
    for n in 0..6 {
        let batch = [large(n), close(&format!("large_{n}")), sync()].concat();
        assert_eq!(tags(&raw.ask(&batch).await), "13Z");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_may_be_so_many_and_no_more() {
    const COUNT: usize = 65_536;
    let cluster = Cluster::start().await;
    let (_proxy, mut raw) = start(&cluster, "transaction").await;
    let some = |range: std::ops::Range<usize>| {
        let parses = range.map(|n| parse(&format!("s{n}"), "select 1"));
        [parses.collect::<Vec<_>>().concat(), sync()].concat()
    };
    for n in (0..COUNT).step_by(1024) {
        let answer = raw.ask(&some(n..n + 1024)).await;
        assert_eq!(answer.len(), 1025);
    }
    let answer = raw.ask(&some(COUNT..COUNT + 1)).await;
    is_refused(&answer);
    raw.ask(&[close("s7"), sync()].concat()).await;
    let answer = raw.ask(&some(COUNT..COUNT + 1)).await;
    assert_eq!(tags(&answer), "1Z");
}

/// The statements are the server's in session mode.
#[tokio::test(flavor = "multi_thread")]
async fn session_mode_knows_no_limit() {
    let cluster = Cluster::start().await;
    let (proxy, mut raw) = start(&cluster, "session").await;
    let memory = Memory::now(&proxy);
    let work = async {
        for n in 0..6 {
            let answer = raw.ask(&[large(n), sync()].concat()).await;
            assert_eq!(tags(&answer), "1Z", "{n}");
        }
        let answer = raw.ask(&[run("large_5"), sync()].concat()).await;
        assert_eq!(tags(&answer), "2DCZ");
    };
    let growth = memory.growth("named statements", work).await;
    assert!(growth < 16 * MB, "{growth} bytes");
}
