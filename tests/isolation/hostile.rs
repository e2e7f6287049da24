//! A client sends whatever a generator makes up; three honest ones beside it ask
//! for words that nobody else has, by every protocol, and have to get just those.
//! Both pool modes, with two server connections each, on every Postgres.
//!
//! Seeds are printed. `SEED=… BURSTS=1` replays one; `BURSTS` is how many.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::common::raw::{parse, query, run, start_up, sync};
use super::common::{Cluster, Proxy, new_password};
use super::generator::{Burst, Dice, End, QUIET, burst};
use super::peer::{Peer, run_with};

const MODES: [&str; 2] = ["transaction", "session"];
/// A burst that is not over by then is given up.
const LIMIT: Duration = Duration::from_secs(2);

const SETUP: &str = "
create table t (n int); create table refusing (n int); create table at_end (n int);
create table at_commit (n int);
create function refuse() returns trigger language plpgsql as $$ begin raise exception 'refused'; end $$;
create trigger r before insert on refusing for each row execute function refuse();
create trigger r after insert on at_end for each statement execute function refuse();
create constraint trigger r after insert on at_commit initially deferred
    for each row execute function refuse();
grant all on t, refusing, at_end, at_commit to public;
create role boss; grant boss to app_user;
";

/// Facts that the two sides share.
#[derive(Default)]
struct Shared {
    over: AtomicBool,
    /// The seed of the burst that is under way.
    seed: AtomicU64,
    asked: AtomicU64,
}

/// Sends a burst; how it ends does not matter.
async fn attack(port: u16, database: &str, burst: Burst) {
    let Ok(stream) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    let _ = stream.set_nodelay(true);
    let (mut reader, mut writer) = stream.into_split();
    let who = if burst.stranger { "bob" } else { "alice" };
    let greeting = start_up(0x0003_0000, &[("user", who), ("database", database)]);
    if writer.write_all(&greeting).await.is_err() {
        return;
    }
    let mut seen = [0; 16 * 1024];
    // Up to ReadyForQuery: 'Z', its length, and the state at the end.
    loop {
        match reader.read(&mut seen).await {
            Ok(n) if n >= 6 && seen[n - 6] == b'Z' => break,
            Ok(n) if n > 0 => {}
            _ => return,
        }
    }
    let Burst {
        bytes,
        pieces,
        yields,
        end,
        reads,
        ..
    } = burst;
    let send = async {
        let mut at = 0;
        for cut in pieces {
            if writer.write_all(&bytes[at..cut]).await.is_err() {
                break;
            }
            at = cut;
            if yields {
                tokio::task::yield_now().await;
            }
        }
        if end == End::HalfClosed {
            let _ = writer.shutdown().await;
        }
        writer
    };
    let read = async {
        if !reads {
            return;
        }
        let mut last = Vec::new();
        while let Ok(n) = reader.read(&mut seen).await {
            last.extend_from_slice(&seen[..n]);
            let from = last.len().saturating_sub(4096);
            last.drain(..from);
            let quiet = last.windows(QUIET.len()).any(|w| w == QUIET.as_bytes());
            let over = end == End::Quiet && quiet && last.ends_with(b"Z\0\0\0\x05I");
            if n == 0 || over {
                return;
            }
        }
    };
    match end {
        End::Abrupt => drop(send.await),
        End::Closed => {
            let both = async { tokio::join!(send, read) };
            let _ = timeout(Duration::from_millis(30), both).await;
        }
        // The writer lives as long as there is something to read.
        _ => drop(tokio::join!(send, read)),
    }
}

/// The tags and the one value of an answer.
async fn asks(peer: &mut Peer, batch: &[u8], tags: &str, wanted: &str) -> Result<(), String> {
    let answer = peer.ask(batch).await?;
    match (answer.tags(), answer.rows()) {
        (seen, rows) if seen == tags && rows == [wanted] => Ok(()),
        _ => Err(format!("wanted {wanted}, and read {answer}")),
    }
}

/// State that nobody else's acts may change.
const STATE: &str = "select current_user, current_setting('search_path'), current_setting('timezone'), \
    current_setting('work_mem'), current_setting('statement_timeout'), coalesce(current_setting('app.tenant', true), '')";

/// Asks until it is over, as somebody who has nothing to hide.
async fn honest(
    number: u64,
    port: u16,
    mode: &str,
    shared: Arc<Shared>,
    state: String,
) -> Result<(), String> {
    let mut dice = Dice::new(number);
    let who = if number.is_multiple_of(2) {
        "alice"
    } else {
        "bob"
    };
    while !shared.over.load(Relaxed) {
        let mut peer = Peer::login(port, &[("user", who), ("database", mode)]).await?;
        let kept = format!("kept {:x}", dice.next());
        let sql = format!("select '{kept}'");
        asks(
            &mut peer,
            &[parse("kept", &sql), run("kept"), sync()].concat(),
            "12DCZ",
            &kept,
        )
        .await?;
        asks(
            &mut peer,
            &[
                parse("param", "select $1::text"),
                run_with("param", &["x"]),
                sync(),
            ]
            .concat(),
            "12DCZ",
            "x",
        )
        .await?;
        // In session mode others wait for its connection.
        let turns = if mode == "session" { 2 } else { 20 };
        for _ in 0..turns {
            let nonce = format!("{:x}", dice.next());
            let sql = format!("select '{nonce}'");
            match dice.below(6) {
                0 => asks(&mut peer, &query(&sql), "TDCZ", &nonce).await?,
                1 => {
                    asks(
                        &mut peer,
                        &[parse("", &sql), run(""), sync()].concat(),
                        "12DCZ",
                        &nonce,
                    )
                    .await?
                }
                2 => {
                    let batch = [
                        parse("n", &sql),
                        run("n"),
                        super::common::raw::close("n"),
                        sync(),
                    ]
                    .concat();
                    asks(&mut peer, &batch, "12DC3Z", &nonce).await?;
                }
                3 => asks(&mut peer, &[run("kept"), sync()].concat(), "2DCZ", &kept).await?,
                4 => {
                    asks(
                        &mut peer,
                        &[run_with("param", &[&nonce]), sync()].concat(),
                        "2DCZ",
                        &nonce,
                    )
                    .await?
                }
                _ => asks(&mut peer, &query(STATE), "TDCZ", &state).await?,
            }
            shared.asked.fetch_add(1, Relaxed);
            // The machine is there for the bursts.
            tokio::time::sleep(Duration::from_millis(1)).await;
            if shared.over.load(Relaxed) {
                break;
            }
        }
        if dice.one_in(2) {
            peer.leave().await;
        }
    }
    Ok(())
}

/// Sends so many bursts in one mode; the faults that an honest client saw.
async fn bout(
    port: u16,
    mode: &'static str,
    state: String,
    seed: u64,
    bursts: u64,
) -> Result<u64, String> {
    let shared = Arc::new(Shared::default());
    shared.seed.store(seed, Relaxed);
    let mut honests = tokio::task::JoinSet::new();
    for number in 0..3 {
        let (shared, state) = (shared.clone(), state.clone());
        honests.spawn(honest(number, port, mode, shared, state));
    }
    let attack = async {
        for n in 0..bursts {
            shared.seed.store(seed + n, Relaxed);
            let attack = attack(port, mode, burst(seed + n));
            if timeout(LIMIT, attack).await.is_err() {
                let shown = burst(seed + n).shown();
                println!("{mode}: SEED={} was given up: {shown}", seed + n);
            }
        }
        shared.over.store(true, Relaxed);
    };
    let watch = async {
        while let Some(ended) = honests.join_next().await {
            ended.map_err(|e| e.to_string())??;
        }
        Ok::<(), String>(())
    };
    tokio::pin!(attack, watch);
    let seen = tokio::select! {
        seen = &mut watch => seen,
        () = &mut attack => watch.await,
    };
    let last = shared.seed.load(Relaxed);
    let asked = shared.asked.load(Relaxed);
    match seen {
        Ok(()) => Ok(asked),
        Err(fault) => Err(format!(
            "an honest client: {fault}\n  at SEED={last} or just before it (burst {} of {bursts}, after {asked} \
             answers): {}",
            last - seed + 1,
            burst(last).shown()
        )),
    }
}

async fn bouts(bursts: u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let bursts: u64 = number("BURSTS").unwrap_or(bursts);
    let seed = number("SEED").unwrap_or_else(|| u64::from(uuid::Uuid::new_v4().as_fields().0));
    bouts_from(seed, bursts).await;
}

async fn bouts_from(seed: u64, bursts: u64) {
    println!("SEED={seed} BURSTS={bursts} (in each mode, on each Postgres)");
    let mut failed = Vec::new();
    let mut clusters = Cluster::all();
    while let Some(cluster) = clusters.next().await {
        let major = cluster.binaries.major;
        let password = new_password();
        cluster.create_role("app_user", &password).await;
        cluster.execute(SETUP).await;
        let mut proxy = Proxy::builder().secret("app", &cluster.secret("app_user", &password));
        for mode in MODES {
            let body = format!("secret = \"app\"\npool_mode = \"{mode}\"\npool_size = 2");
            proxy = proxy.database(mode, &body);
        }
        for who in ["alice", "bob"] {
            proxy = proxy.client(&format!(
                "name = \"{who}\"\nnetwork = [\"127.0.0.0/8\"]\nusers = [\"{who}\"]\ndatabases = {MODES:?}"
            ));
        }
        let proxy = proxy.start().await;
        let login = Peer::login(proxy.port, &[("user", "alice"), ("database", MODES[0])]).await;
        let state = login.expect("let in").said(STATE).await;
        let [transaction, session] =
            MODES.map(|mode| bout(proxy.port, mode, state.clone(), seed, bursts));
        let ended = tokio::join!(transaction, session);
        for (mode, ended) in MODES.into_iter().zip([ended.0, ended.1]) {
            match ended {
                Ok(asked) => {
                    println!("{major} {mode}: {asked} right answers beside {bursts} bursts")
                }
                Err(fault) => failed.push(format!("{major} {mode}: {fault}")),
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// 500 in all, and more where more versions are at hand.
#[tokio::test(flavor = "multi_thread")]
async fn honest_clients_are_answered_beside_a_hostile_one() {
    bouts(125).await;
}

/// Two of these bursts end with a server that skips everything up to a Sync, which the client
/// has left without sending: each held a connection of the pool for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_left_holds_no_connection() {
    bouts_from(2_231_390_924, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make chaos"]
async fn honest_clients_are_answered_beside_a_hostile_one_at_length() {
    bouts(5_000).await;
}

#[test]
fn the_same_seed_gives_the_same_burst() {
    for seed in 0..200 {
        let (one, other) = (burst(seed), burst(seed));
        assert!(one.bytes == other.bytes && one.pieces == other.pieces && one.end == other.end);
        assert_eq!(one.pieces.last(), Some(&one.bytes.len()));
    }
}
