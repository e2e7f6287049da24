//! Cancel requests: the right one stops the query, no other does anything.

use std::time::{Duration, Instant};

use tokio_postgres::NoTls;

use crate::common::cancel::{SLEEP, send_cancel, sleeping};
use crate::common::client::told;
use crate::common::setup::proxy;
use crate::common::{Cluster, Session, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_request_stops_the_query() {
    let cluster = Cluster::start().await;
    for mode in ["transaction", "session"] {
        let proxy = proxy(&cluster, &format!("pool_mode = \"{mode}\"\npool_size = 2")).await;
        let (session, bystander) = (proxy.connect("app").await, proxy.connect("app").await);
        let cancel = async {
            sleeping(&cluster, 2).await;
            session
                .cancel_token()
                .cancel_query(NoTls)
                .await
                .expect("sent");
        };
        let started = Instant::now();
        let mut other = Box::pin(bystander.simple_query(SLEEP));
        tokio::select! {
            result = &mut other => panic!("{mode} mode: the other client was cancelled: {result:?}"),
            (result, ()) = async { tokio::join!(session.simple_query(SLEEP), cancel) } => {
                let error = result.expect_err("it was cancelled");
                assert_eq!(told(&error).0, "57014");
            }
        }
        assert!(started.elapsed() < Duration::from_secs(30));
        assert_eq!(session.value("select 'goes on'").await, "goes on");
        // The bystander still sleeps; nobody's cancel hit it.
        assert!(
            tokio::time::timeout(Duration::from_millis(200), &mut other)
                .await
                .is_err()
        );
        drop(other);
        bystander
            .cancel_token()
            .cancel_query(NoTls)
            .await
            .expect("sent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_cancel_request_does_nothing() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_mode = \"session\"\npool_size = 2").await;
    let session: Session = proxy.connect("app").await;
    let backend: i32 = session
        .value("select pg_backend_pid()")
        .await
        .parse()
        .expect("a pid");
    let mut query = Box::pin(session.simple_query(SLEEP));
    let forge = async {
        sleeping(&cluster, 1).await;
        // Postgres's own pid, small numbers as a counter would make, and keys
        // of every length that the protocol allows, and some it does not.
        for pid in [backend, 0, 1, 2, -1, i32::MAX] {
            for key in [&[0; 4][..], &[0xff; 4], &[7; 32], &[7; 256], &[]] {
                send_cancel(&proxy, pid, key).await;
            }
        }
    };
    tokio::select! {
        result = &mut query => panic!("a forged request hit: {result:?}"),
        () = forge => {}
    }
    assert!(
        tokio::time::timeout(Duration::from_millis(300), &mut query)
            .await
            .is_err()
    );
    session
        .cancel_token()
        .cancel_query(NoTls)
        .await
        .expect("sent");
    let error = query.await.expect_err("the true one hits");
    assert_eq!(told(&error).0, "57014");
}

/// The server connection has moved on to another client: the late cancel of
/// the first must not hit the second.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_cancel_does_not_hit_the_next_client() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_mode = \"transaction\"\npool_size = 1").await;
    let (first, second) = (proxy.connect("app").await, proxy.connect("app").await);
    first.value("select 1").await;
    let late = async {
        sleeping(&cluster, 1).await;
        for _ in 0..5 {
            first
                .cancel_token()
                .cancel_query(NoTls)
                .await
                .expect("sent");
        }
    };
    let mut query = Box::pin(second.simple_query(SLEEP));
    tokio::select! {
        result = &mut query => panic!("another client's cancel hit: {result:?}"),
        () = late => {}
    }
    assert!(
        tokio::time::timeout(Duration::from_millis(300), &mut query)
            .await
            .is_err()
    );
    second
        .cancel_token()
        .cancel_query(NoTls)
        .await
        .expect("sent");
    query.await.expect_err("its own cancel hits");
}

/// The query fails and the connection lives, as on Postgres.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_waits_for_a_connection_can_be_cancelled() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 1").await;
    let holder = proxy.connect("app").await;
    let waiting = proxy.connect("app").await;
    let prepared = waiting.prepare("select 'known'").await.expect("prepared");
    holder.batch_execute("begin").await.expect("a lease");
    let cancel = async {
        eventually("it waits", Duration::from_secs(10), || async {
            let waiting = proxy.status().await["databases"][0]["waiting"].clone();
            (waiting == 1).then_some(())
        })
        .await;
        let token = waiting.cancel_token();
        token.cancel_query(NoTls).await.expect("sent");
    };
    // A simple query, a batch, and a batch behind another one.
    let (result, ()) = tokio::join!(waiting.simple_query("select 1"), cancel);
    assert_eq!(told(&result.expect_err("cancelled")).0, "57014");
    for _ in 0..2 {
        let cancel = async {
            eventually("it waits", Duration::from_secs(10), || async {
                let waiting = proxy.status().await["databases"][0]["waiting"].clone();
                (waiting == 1).then_some(())
            })
            .await;
            let token = waiting.cancel_token();
            token.cancel_query(NoTls).await.expect("sent");
        };
        let (result, ()) = tokio::join!(waiting.query(&prepared, &[]), cancel);
        assert_eq!(told(&result.expect_err("cancelled")).0, "57014");
    }
    // The session goes on, with what it had.
    let wait = waiting.query_one(&prepared, &[]);
    let (row, released) = tokio::join!(wait, holder.batch_execute("rollback"));
    released.expect("rolled back");
    assert_eq!(row.expect("an answer").get::<_, &str>(0), "known");
    assert_eq!(waiting.value("select 2").await, "2");
}

/// A cancel request of the client does not hit a query of pgvalet's own at the
/// end of a transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_cancel_does_not_hit_what_pgvalet_asks() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 2").await;
    let session = proxy.connect("app").await;
    for n in 0..60 {
        // Asked about at the end, because it is no setting that is reported.
        let set = format!("set work_mem = '{}kB'", 1000 + n);
        let cancel = async {
            let token = session.cancel_token();
            token.cancel_query(NoTls).await.expect("sent");
        };
        let (result, ()) = tokio::join!(session.batch_execute(&set), cancel);
        if let Err(error) = result {
            assert_eq!(told(&error).0, "57014");
        }
        assert!(!session.is_closed());
        // It may still hit this one, which comes after it.
        let _ = session.simple_query("select 1").await;
    }
    assert_eq!(session.value("select 'lives'").await, "lives");
}
