//! Exactly once, under every fault: a line of which its client was told that it is there is
//! there once; one that was refused is not; one in doubt is there at most once.

use std::fs;
use std::iter::repeat;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::book::{self, Book, Totals};
use super::stage::Stage;
use crate::common::relay::{Arrivals, At, Fault, Pace, Relay, Way};

/// Numbers that look random, and are the same for the same seed.
struct Dice(u64);

impl Dice {
    /// `SEED=`, or another one each time.
    fn new() -> Self {
        let seed = std::env::var("SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0 >> 16);
        println!("SEED={seed}");
        Self(seed)
    }

    fn roll(&mut self, sides: usize) -> usize {
        // Knuth's MMIX; the high bits are the better ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn of<T: Copy>(&mut self, choice: &[T]) -> T {
        choice[self.roll(choice.len())]
    }
}

const FAULTS: [Fault; 4] = [
    Fault::Reset,
    Fault::Close,
    Fault::Truncate,
    Fault::HalfClose,
];

/// Messages in which the life of a statement is told.
const TO_SERVER: &[u8] = b"QPBES";
const TO_CLIENT: &[u8] = b"12CZDnt";

const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Cut,
    CutAll,
    Silence,
    NoLogins,
    SingleBytes,
    Terminate,
    Crash,
    Restart,
    Stop,
    Rotate,
    Reload,
}

const TROUBLES: [Trouble; 11] = [
    Trouble::Cut,
    Trouble::CutAll,
    Trouble::Silence,
    Trouble::NoLogins,
    Trouble::SingleBytes,
    Trouble::Terminate,
    Trouble::Crash,
    Trouble::Restart,
    Trouble::Stop,
    Trouble::Rotate,
    Trouble::Reload,
];

async fn make(trouble: Trouble, stage: &mut Stage, dice: &mut Dice, front: bool) {
    let relay: &Relay = match front && dice.roll(2) == 0 {
        true => &stage.front,
        false => &stage.back,
    };
    match trouble {
        Trouble::Cut => {
            let (way, tags) = dice.of(&[(Way::ToServer, TO_SERVER), (Way::ToClient, TO_CLIENT)]);
            let (tag, nth) = (dice.of(tags), 1 + dice.roll(9));
            let at = dice.of(&[At::Before(tag, nth), At::After(tag, nth)]);
            relay.arm(way, at, dice.of(&FAULTS));
        }
        Trouble::CutAll => relay.strike(dice.of(&FAULTS)).await,
        Trouble::Silence => {
            relay.strike(Fault::Silence).await;
            tokio::time::sleep(PAUSE).await;
            relay.heal();
        }
        Trouble::NoLogins => {
            relay.arrivals(dice.of(&[Arrivals::Reset, Arrivals::Ignore]));
            relay.strike(Fault::Reset).await;
            tokio::time::sleep(PAUSE).await;
            relay.heal();
        }
        Trouble::SingleBytes => {
            let way = dice.of(&[Way::ToServer, Way::ToClient]);
            relay.pace(way, Pace::SingleBytes);
            tokio::time::sleep(PAUSE).await;
            relay.pace(way, Pace::Free);
        }
        Trouble::Terminate => {
            let sql = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                 where usename = '{}' and pid % 2 = 0";
            stage.cluster.execute(&sql.replace("{}", &stage.role)).await;
        }
        Trouble::Crash => crash(stage).await,
        Trouble::Restart => stage.cluster.restart_fast().await,
        Trouble::Stop => {
            stage.cluster.stop();
            stage.cluster.run().await;
        }
        Trouble::Rotate => stage.rotate().await,
        Trouble::Reload => {
            let path = stage.proxy.config();
            let text = fs::read_to_string(&path).expect("the configuration");
            let (from, to) = match text.contains("pool_size = 4") {
                true => ("pool_size = 4", "pool_size = 3"),
                false => ("pool_size = 3", "pool_size = 4"),
            };
            fs::write(&path, text.replace(from, to)).expect("written");
            stage.proxy.signal(Signal::SIGHUP);
        }
    }
}

/// Kills a backend, and waits until Postgres has ended all the others and recovered.
async fn crash(stage: &Stage) {
    let sql = "select pid from pg_stat_activity where usename = '{}' limit 1";
    let admin = stage.cluster.superuser().await;
    let pids = admin.column(&sql.replace("{}", &stage.role)).await;
    let Some(pid) = pids.first() else { return };
    // One that was about to go by itself is no crash.
    let _ = kill(Pid::from_raw(pid.parse().expect("a pid")), Signal::SIGKILL);
    let ends = async {
        while admin.simple_query("select 1").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), ends).await;
    stage.cluster.recovered().await;
}

/// `front`: faults also between clients and pgvalet.
async fn under(troubles: usize, mode: &str, front: bool) -> Totals {
    let keys = format!("pool_mode = \"{mode}\"\npool_size = 4\nconnect_timeout = \"2s\"");
    let mut stage = Stage::with(&keys).await;
    book::create(&stage.cluster).await;
    let mut dice = Dice::new();
    let dsn = stage.proxy.dsn("app").replace(
        &format!("port={}", stage.proxy.port),
        &format!("port={}", stage.front.port),
    );
    let clients = if mode == "session" { 4 } else { 8 };
    let book = Book::open(dsn, clients, mode == "transaction" && !front);
    // Each at least once, and then whichever.
    let each = TROUBLES.map(Some).into_iter().chain(repeat(None));
    for trouble in each.take(troubles) {
        let trouble = trouble.unwrap_or_else(|| dice.of(&TROUBLES));
        println!("{mode} mode: {trouble:?}");
        book.progress(10).await;
        make(trouble, &mut stage, &mut dice, front).await;
    }
    book.progress(50).await;
    stage.front.heal();
    stage.back.heal();
    let totals = book.close(&stage.cluster).await;
    println!("{mode} mode, {troubles} troubles: {totals:?}");
    stage.nothing_is_left("the ledger").await;
    totals
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_was_told_is_so_in_transaction_mode() {
    let totals = under(TROUBLES.len() + 5, "transaction", false).await;
    assert!(totals.in_doubt > 0, "{totals:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_was_told_is_so_in_session_mode() {
    let totals = under(TROUBLES.len() + 5, "session", true).await;
    assert!(totals.in_doubt > 0, "{totals:?}");
}

/// `make chaos`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes ten minutes"]
async fn what_a_client_was_told_is_so_at_length() {
    for mode in ["transaction", "session"] {
        for front in [false, true] {
            let totals = under(200, mode, front).await;
            assert!(totals.in_doubt > 0, "{totals:?}");
        }
    }
}
