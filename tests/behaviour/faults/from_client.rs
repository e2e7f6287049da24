//! Between clients and pgvalet: every fault, at every state of the protocol. Nothing of the
//! client stays, and others notice nothing.

use std::time::Duration;

use crate::common::raw::{message, parse, query, run};
use crate::common::relay::frames::{START_UP, TLS};
use crate::common::relay::{At, Fault, Way};
use crate::common::{cancel, eventually};

use super::stage::Stage;
use super::talk::Talk;

use At::{After, Before, Byte};
use Way::{ToClient, ToServer};

const FAULTS: [Fault; 5] = [
    Fault::Reset,
    Fault::Close,
    Fault::Truncate,
    Fault::HalfClose,
    Fault::Silence,
];

/// Everything for which a client is waited ends before long.
const LIMITS: &str =
    "idle_transaction_timeout = \"1s\"\nclient_idle_timeout = \"1s\"\nquery_timeout = \"2s\"";

const GREETING: [(Way, At); 8] = [
    (ToServer, Byte(0)),
    (ToServer, Byte(4)),
    (ToServer, Before(START_UP, 1)),
    (ToServer, After(START_UP, 1)),
    (ToClient, Before(b'R', 1)),
    (ToClient, Before(b'S', 2)),
    (ToClient, Before(b'K', 1)),
    (ToClient, After(b'Z', 1)),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_client_lost_in_its_handshake_leaves_nothing() {
    let stage = Stage::with_listen(LIMITS, "handshake_timeout = \"1s\"").await;
    for fault in FAULTS {
        for (way, at) in GREETING {
            let before = stage.front.struck();
            stage.front.arm(way, at, fault);
            let mut client = Talk::open(stage.front.port).await;
            let who = [("user", "anyone"), ("database", "app")];
            client
                .say(&crate::common::raw::start_up(0x0003_0000, &who))
                .await;
            stage.front.strikes(before).await;
        }
        // The request for TLS.
        for at in [Before(TLS, 1), After(TLS, 1)] {
            let before = stage.front.struck();
            stage.front.arm(ToServer, at, fault);
            let mut client = Talk::open(stage.front.port).await;
            client.say(b"\0\0\0\x08\x04\xd2\x16\x2f").await;
            stage.front.strikes(before).await;
        }
        stage.serves(&format!("{fault:?} in handshakes")).await;
        stage
            .nothing_is_left(&format!("{fault:?} in handshakes"))
            .await;
        stage.front.heal();
    }
}

#[derive(Debug, Clone, Copy)]
enum Doing {
    Nothing,
    /// A long query, which is cancelled.
    Query,
    /// A batch without its end.
    Batch,
    CopyIn,
    /// More than buffers hold.
    CopyOut,
    Transaction,
}

const DOINGS: [Doing; 6] = [
    Doing::Nothing,
    Doing::Query,
    Doing::Batch,
    Doing::CopyIn,
    Doing::CopyOut,
    Doing::Transaction,
];

impl Doing {
    async fn begin(self, client: &mut Talk) {
        match self {
            Self::Nothing => {
                client.query("select 1").await;
            }
            Self::Query => client.say(&query("select pg_sleep(60)")).await,
            Self::Batch => {
                let batch = [parse("s", "insert into kept values (-2)"), run("s")];
                client.say(&batch.concat()).await;
                client.say(&message(b'H', b"")).await;
                client.hear(b'C').await;
            }
            Self::CopyIn => {
                client.say(&query("copy kept from stdin")).await;
                client.hear(b'G').await;
                client.say(&message(b'd', b"-2\n")).await;
            }
            Self::CopyOut => {
                let sql =
                    "copy (select repeat('x', 1000) from generate_series(1, 100000)) to stdout";
                client.say(&query(sql)).await;
                client.hear(b'd').await;
            }
            Self::Transaction => {
                client.query("begin; insert into kept values (-2)").await;
            }
        }
    }
}

/// What a client had begun is rolled back, and its server connection is free.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_lost_at_work_leaves_nothing() {
    for (mode, faults) in [
        ("transaction", &FAULTS[..]),
        ("session", &[Fault::Reset, Fault::Silence]),
    ] {
        let stage = Stage::with(&format!("{LIMITS}\npool_mode = \"{mode}\"")).await;
        for &fault in faults {
            let what = format!("{mode} mode, {fault:?}");
            let mut clients = Vec::new();
            for doing in DOINGS {
                let mut client = stage.client().await;
                doing.begin(&mut client).await;
                clients.push(client);
            }
            stage.front.strike(fault).await;
            stage.serves(&what).await;
            if fault != Fault::Silence {
                clients.clear();
            } // else they are there, and neither read nor say anything
            stage.nothing_is_left(&what).await;
            stage.front.heal();
        }
        let admin = stage.cluster.superuser().await;
        let kept = admin.value("select count(*) from kept where n = -2").await;
        assert_eq!(kept, "0", "{mode} mode: what was not ended is not there");
    }
}

/// A cancel request that is lost is no request, and the next one arrives.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_request_that_is_lost_harms_nobody() {
    let stage = Stage::with("").await;
    let session = crate::common::connect(&stage.proxy.dsn("app"))
        .await
        .expect("a session");
    for fault in FAULTS {
        // On its way to pgvalet, and from there to Postgres.
        for relay in [&stage.front, &stage.back] {
            let token = session.cancel_token();
            let asks = session.simple_query(cancel::SLEEP);
            let cancels = async {
                cancel::sleeping(&stage.cluster, 1).await;
                let before = relay.struck();
                relay.arm(
                    ToServer,
                    Before(crate::common::relay::frames::CANCEL, 1),
                    fault,
                );
                let port = stage.front.port;
                let by_relay = tokio::spawn(cancel_at(token.clone(), port));
                relay.strikes(before).await;
                relay.heal();
                let _ = tokio::time::timeout(Duration::from_secs(10), by_relay).await;
                eventually("the next one arrives", Duration::from_secs(20), || async {
                    cancel_at(token.clone(), port).await;
                    let running = stage.backends().await;
                    (!running.iter().any(|state| state == "active")).then_some(())
                })
                .await;
            };
            let (answer, ()) = tokio::join!(asks, cancels);
            let error = answer.expect_err("cancelled");
            assert_eq!(error.code().map(|c| c.code()), Some("57014"), "{fault:?}");
        }
    }
    drop(session);
    stage.nothing_is_left("cancel requests").await;
}

async fn cancel_at(token: tokio_postgres::CancelToken, port: u16) {
    let Ok(stream) = tokio::net::TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    // Whether it arrives is seen elsewhere.
    let cancelled = token.cancel_query_raw(stream, tokio_postgres::NoTls);
    let _ = tokio::time::timeout(Duration::from_secs(5), cancelled).await;
}
