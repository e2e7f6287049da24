//! Between pgvalet and Postgres: every fault, at every state of the protocol.

use crate::common::raw::{message, parse, query, run, sync};
use crate::common::relay::frames::START_UP;
use crate::common::relay::{Arrivals, At, Fault, Way};

use super::stage::Stage;
use super::talk::{End, Talk};

use At::{After, Before};
use Way::{ToClient, ToServer};

const CUTS: [Fault; 4] = [
    Fault::Reset,
    Fault::Close,
    Fault::Truncate,
    Fault::HalfClose,
];

/// Logins: a client waits for the next one, and sees nothing.
const LOGIN: [(&str, Way, At); 11] = [
    ("the start-up packet", ToServer, Before(START_UP, 1)),
    ("the start-up packet behind", ToServer, After(START_UP, 1)),
    ("the question for SCRAM", ToClient, Before(b'R', 1)),
    ("SCRAM, first message", ToServer, Before(b'p', 1)),
    ("SCRAM, first answer", ToClient, Before(b'R', 2)),
    ("SCRAM, last message", ToServer, Before(b'p', 2)),
    ("SCRAM, last answer", ToClient, Before(b'R', 3)),
    ("AuthenticationOk", ToClient, Before(b'R', 4)),
    ("a ParameterStatus", ToClient, Before(b'S', 3)),
    ("the cancel key", ToClient, Before(b'K', 1)),
    ("the first ReadyForQuery", ToClient, Before(b'Z', 1)),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_breaks_off_is_made_again() {
    let stage = Stage::with("").await;
    let mut client = stage.client().await;
    for fault in CUTS {
        for (name, way, at) in LOGIN {
            let what = format!("{fault:?} at {name}");
            // No connection is there, so that the next statement waits for a login.
            stage.back.strike(Fault::Reset).await;
            let before = stage.back.struck();
            stage.back.arm(way, at, fault);
            let answer = client.query("select 1").await;
            assert!(answer.is_answer(), "{what}: {answer:?}");
            stage.back.strikes(before).await;
        }
    }
    drop(client);
    stage.nothing_is_left("logins that break off").await;
}

/// A server that accepts and says nothing, or that stops in the middle of a login.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_stalls_is_given_up() {
    let stage = Stage::with("connect_timeout = \"1s\"").await;
    let mut client = stage.client().await;
    let states = [LOGIN[0], LOGIN[4], LOGIN[10]];
    for (name, way, at) in states {
        stage.back.strike(Fault::Reset).await;
        stage.back.arm(way, at, Fault::Silence);
        let answer = client.query("select 1").await;
        assert!(answer.is_answer(), "silence at {name}: {answer:?}");
        stage.back.heal();
    }
    for arrivals in [Arrivals::Ignore, Arrivals::Reset] {
        stage.back.strike(Fault::Reset).await;
        stage.back.arrivals(arrivals);
        client.say(&query("select 1")).await;
        let notice = client.hear(b'N').await;
        assert!(notice.is_answer(), "{arrivals:?}: {notice:?}");
        stage.back.heal();
        let answer = client.hear(b'Z').await;
        assert!(answer.is_answer(), "{arrivals:?}: {answer:?}");
    }
    drop(client);
    stage.nothing_is_left("logins that stall").await;
}

/// In transaction mode a client that is idle has no server connection, whatever becomes of
/// the one that it had.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_dies_idle_meets_no_client() {
    let stage = Stage::with("").await;
    let mut client = stage.client().await;
    for fault in [Fault::Reset, Fault::Close, Fault::HalfClose] {
        for _ in 0..20 {
            let answer = client.query("select 1").await;
            assert!(answer.is_answer(), "{fault:?}: {answer:?}");
            stage.back.strike(fault).await;
        }
        // The end of the stream right behind the answer.
        for _ in 0..20 {
            let before = stage.back.struck();
            stage.back.arm(ToClient, After(b'Z', 1), fault);
            let answer = client.query("select 1").await;
            assert!(answer.is_answer(), "{fault:?} behind an answer: {answer:?}");
            stage.back.strikes(before).await;
            stage.back.strike(fault).await; // so that it has arrived
        }
        stage.back.heal();
    }
    drop(client);
    stage.nothing_is_left("connections that die idle").await;
}

#[derive(Debug, Clone, Copy)]
enum Work {
    Simple,
    Extended,
    CopyIn,
    CopyOut,
    InTransaction,
}

impl Work {
    async fn done_by(self, client: &mut Talk) -> End {
        match self {
            Self::Simple => client.query("select generate_series(1, 3)").await,
            Self::Extended => {
                let batch = [parse("s", "select generate_series(1, 3)"), run("s"), sync()];
                client.ask(&batch.concat()).await
            }
            Self::CopyIn => {
                client.say(&query("copy kept from stdin")).await;
                match client.hear(b'G').await {
                    End::Answered(_) => {}
                    other => return other,
                }
                let row = message(b'd', b"1\n");
                let data = [&row[..], &row, &message(b'c', b"")].concat();
                client.ask(&data).await
            }
            Self::CopyOut => {
                let sql = "copy (select generate_series(1, 3)) to stdout";
                client.query(sql).await
            }
            Self::InTransaction => {
                let begun = client.query("begin; insert into kept values (-1)").await;
                match begun {
                    End::Answered(_) => client.query("select 2; commit").await,
                    other => other,
                }
            }
        }
    }
}

const WORK: [(Work, Way, At); 20] = [
    (Work::Simple, ToServer, Before(b'Q', 1)),
    (Work::Simple, ToServer, After(b'Q', 1)),
    (Work::Simple, ToClient, Before(b'T', 1)),
    (Work::Simple, ToClient, Before(b'D', 2)),
    (Work::Simple, ToClient, Before(b'C', 1)),
    (Work::Simple, ToClient, Before(b'Z', 1)),
    (Work::Extended, ToServer, Before(b'P', 1)),
    (Work::Extended, ToServer, Before(b'B', 1)),
    (Work::Extended, ToServer, Before(b'S', 1)),
    (Work::Extended, ToClient, Before(b'1', 1)),
    (Work::Extended, ToClient, Before(b'2', 1)),
    (Work::Extended, ToClient, Before(b'C', 1)),
    (Work::Extended, ToClient, Before(b'Z', 1)),
    (Work::CopyIn, ToClient, Before(b'G', 1)),
    (Work::CopyIn, ToServer, Before(b'd', 2)),
    (Work::CopyIn, ToServer, Before(b'c', 1)),
    (Work::CopyOut, ToClient, Before(b'H', 1)),
    (Work::CopyOut, ToClient, Before(b'd', 2)),
    (Work::InTransaction, ToServer, Before(b'Q', 2)),
    (Work::InTransaction, ToClient, Before(b'Z', 2)),
];

/// The client is told, and never anything but that.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_loses_its_server_ends_with_an_error() {
    for mode in ["transaction", "session"] {
        let stage = Stage::with(&format!("pool_mode = \"{mode}\"")).await;
        for fault in CUTS {
            for (work, way, at) in WORK {
                let what = format!("{mode} mode, {fault:?} in {work:?}, {way:?} {at:?}");
                // Nothing else may meet the fault: goodbyes, and what cleans a connection.
                stage.rests().await;
                let mut client = stage.client().await;
                // A connection is there, and the login has passed what the fault waits for.
                assert!(client.query("select 1").await.is_answer(), "{what}");
                let before = stage.back.struck();
                stage.back.arm(way, at, fault);
                let end = work.done_by(&mut client).await;
                match end {
                    End::Fatal(code) if code == "08006" => {}
                    // Inside of a message that has begun to pass nothing can be told.
                    End::HungUp if fault == Fault::Truncate && passes_in_part(way, at) => {}
                    // Postgres does what it was asked, and then sees the end of the stream.
                    End::Answered(_) if fault == Fault::HalfClose && way == ToServer => {}
                    end => panic!("{what}: {end:?}\n{}", stage.proxy.log()),
                }
                stage.back.strikes(before).await;
                // Postgres may be about to close the one that is half closed.
                stage.back.strike(Fault::Reset).await;
                stage.serves(&what).await;
            }
        }
        stage.nothing_is_left(mode).await;
        // A transaction whose end was not sent has not happened.
        let admin = stage.cluster.superuser().await;
        let begun = "select count(*) from kept where n = -1";
        let there: u32 = admin.value(begun).await.parse().expect("a number");
        assert!(
            there <= 4,
            "{there} transactions, of which 4 may have ended"
        );
    }
}

/// Whether the client gets the head of a message before the rest of it has arrived.
fn passes_in_part(way: Way, at: At) -> bool {
    way == ToClient
        && matches!(
            at,
            Before(b'T' | b'D' | b'd' | b'1' | b'2' | b'G' | b'H', _)
        )
}

/// What is told at the end of a session is not read as the rest of a row.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_row_is_not_filled_up_with_an_error() {
    let stage = Stage::with("").await;
    for length in [10, 100, 1_000, 10_000] {
        let mut client = stage.client().await;
        assert!(client.query("select 1").await.is_answer());
        stage.back.arm(ToClient, Before(b'D', 1), Fault::Truncate);
        client
            .say(&query(&format!("select repeat('x', {length})")))
            .await;
        assert!(client.hear(b'T').await.is_answer());
        let end = client.hear(b'D').await;
        assert!(matches!(end, End::HungUp), "a row of {length}: {end:?}");
        let part = client.rest();
        let row = part.get(11..).unwrap_or_default();
        assert!(
            row.iter().all(|b| *b == b'x'),
            "{}",
            String::from_utf8_lossy(part)
        );
    }
}

/// A server that says nothing more: the limit that is set ends the wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_whose_server_is_silent_ends_with_its_limit() {
    let stage = Stage::with("query_timeout = \"1s\"\nconnect_timeout = \"1s\"").await;
    let mut ends = Vec::new();
    for (work, way, at) in [WORK[1], WORK[4], WORK[8], WORK[15], WORK[17]] {
        let mut client = stage.client().await;
        assert!(client.query("select 1").await.is_answer(), "{work:?}");
        let before = stage.back.struck();
        stage.back.arm(way, at, Fault::Silence);
        let end = async move { (work, work.done_by(&mut client).await) };
        ends.push(tokio::spawn(end));
        stage.back.strikes(before).await;
        stage.serves(&format!("silence in {work:?}")).await;
    }
    for end in ends {
        let (work, end) = end.await.expect("no panic");
        let code = end.code().unwrap_or_else(|| panic!("{work:?}: {end:?}"));
        assert!(["57014", "08006"].contains(&code), "{work:?}: {code}");
    }
    stage.back.heal();
    stage.nothing_is_left("silence").await;
}
