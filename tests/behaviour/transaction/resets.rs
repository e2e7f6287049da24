//! RESET leads a client to what it brought at start-up, as on Postgres, and
//! nobody else.

use crate::common::client::told;
use crate::common::setup::proxy;
use crate::common::{Cluster, Proxy, Session, connect};

const MODES: [&str; 2] = ["transaction", "session"];

/// Everything that a test here brings, in one text.
const MINE: &str = "select current_setting('work_mem') || ' ' || current_setting('timezone') || ' ' \
     || current_setting('search_path') || ' ' || current_setting('my.own', true)";
const BROUGHT: &str = "7MB Europe/Rome a, b x";

async fn client(proxy: &Proxy) -> Session {
    let options = r"-c work_mem=7MB -c timezone=Europe/Rome -c search_path=a,\\ b -c my.own=x";
    connect(&format!("{} options='{options}'", proxy.dsn("app")))
        .await
        .expect("connected")
}

const CHANGED: &str = "set work_mem = '9MB'; set timezone = 'Asia/Tokyo'; \
     set search_path = public; set my.own = 'y'";
const AFTER: &str = "9MB Asia/Tokyo public y";

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_leads_to_what_the_client_brought() {
    let cluster = Cluster::start().await;
    for mode in MODES {
        let proxy = proxy(&cluster, &format!("pool_mode = \"{mode}\"\npool_size = 1")).await;
        let plain = proxy.connect("app").await;
        let theirs = "select coalesce(current_setting('my.own', true), '') || current_setting('work_mem') \
             || current_setting('timezone') || current_setting('search_path')";
        let fresh = plain.value(theirs).await;
        plain.close().await;

        let owner = client(&proxy).await;
        assert_eq!(owner.value(MINE).await, BROUGHT, "{mode}");
        for (reset, left) in [
            ("reset work_mem", "7MB Asia/Tokyo public y"),
            ("reset timezone", "9MB Europe/Rome public y"),
            ("reset search_path", "9MB Asia/Tokyo a, b y"),
            ("reset my.own", "9MB Asia/Tokyo public x"),
            ("set work_mem to default", "7MB Asia/Tokyo public y"),
            ("set session work_mem = default", "7MB Asia/Tokyo public y"),
            ("set time zone local", "9MB Europe/Rome public y"),
            ("reset all", BROUGHT),
            ("/* pool */ discard all", BROUGHT),
            ("reset work_mem; reset timezone", "7MB Europe/Rome public y"),
            ("reset all; set work_mem = '8MB'", "8MB Europe/Rome a, b x"),
            // Of what it has not brought.
            ("reset statement_timeout", AFTER),
        ] {
            owner.batch_execute(CHANGED).await.expect(CHANGED);
            assert_eq!(owner.value(MINE).await, AFTER, "{mode}");
            owner.batch_execute(reset).await.expect(reset);
            // Others come in between where they can.
            if mode == "transaction" {
                let other = proxy.connect("app").await;
                assert_eq!(other.value(theirs).await, fresh, "{reset}: leaked");
            }
            assert_eq!(owner.value(MINE).await, left, "{mode}: {reset}");
        }
        owner.close().await;
        assert_eq!(
            proxy.connect("app").await.value(theirs).await,
            fresh,
            "{mode}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_one_by_the_extended_protocol() {
    let cluster = Cluster::start().await;
    for mode in MODES {
        let proxy = proxy(&cluster, &format!("pool_mode = \"{mode}\"\npool_size = 1")).await;
        let owner = client(&proxy).await;
        let reset = owner.prepare("reset work_mem").await.expect("prepared");
        let default = owner.prepare("set timezone to default").await;
        let default = default.expect("prepared");
        for _ in 0..2 {
            owner.batch_execute(CHANGED).await.expect(CHANGED);
            owner.execute(&reset, &[]).await.expect("reset");
            assert_eq!(owner.value(MINE).await, "7MB Asia/Tokyo public y", "{mode}");
            owner.execute(&default, &[]).await.expect("reset");
            assert_eq!(
                owner.value(MINE).await,
                "7MB Europe/Rome public y",
                "{mode}"
            );
            owner.execute("reset all", &[]).await.expect("reset");
            assert_eq!(owner.value(MINE).await, BROUGHT, "{mode}");
        }
        // Its statements are there, and everything works that did before.
        let row = owner
            .query_one("select $1::int", &[&5])
            .await
            .expect("a row");
        assert_eq!(row.get::<_, i32>(0), 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_undoes_it() {
    let cluster = Cluster::start().await;
    for mode in MODES {
        let proxy = proxy(&cluster, &format!("pool_mode = \"{mode}\"\npool_size = 1")).await;
        let owner = client(&proxy).await;
        for reset in ["reset timezone", "reset all", "set timezone to default"] {
            owner.batch_execute(CHANGED).await.expect(CHANGED);
            owner.batch_execute("begin").await.expect("begun");
            owner.batch_execute(reset).await.expect(reset);
            // Nothing was asked that would fix the snapshot.
            let level = "set transaction isolation level serializable";
            if reset != "reset all" {
                owner.batch_execute(level).await.expect(level);
            }
            let zone = owner.value("show timezone").await;
            assert_eq!(zone, "Europe/Rome", "{mode}: {reset}");
            owner.batch_execute("rollback").await.expect("rolled back");
            assert_eq!(owner.value(MINE).await, AFTER, "{mode}: {reset}");

            owner.batch_execute("begin").await.expect("begun");
            owner
                .batch_execute("savepoint s")
                .await
                .expect("a savepoint");
            let failing = format!("{reset}; select 1/0");
            let error = owner.batch_execute(&failing).await.expect_err("an error");
            assert_eq!(told(&error).0, "22012");
            owner.batch_execute("rollback to s").await.expect("back");
            assert_eq!(owner.value(MINE).await, AFTER, "{mode}: {reset} failed");
            owner.batch_execute(reset).await.expect(reset);
            owner.batch_execute("commit").await.expect("committed");
            let zone = owner.value("show timezone").await;
            assert_eq!(zone, "Europe/Rome", "{mode}: {reset} committed");
        }
    }
}

/// The client sends DISCARD ALL and a query at once.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_at_once_with_it_sees_it() {
    let cluster = Cluster::start().await;
    for mode in MODES {
        let proxy = proxy(&cluster, &format!("pool_mode = \"{mode}\"\npool_size = 1")).await;
        let owner = client(&proxy).await;
        for reset in ["discard all", "reset timezone", "set timezone to default"] {
            owner
                .batch_execute("set timezone = 'Asia/Tokyo'")
                .await
                .expect("set");
            // Polled together, tokio-postgres sends both before it reads.
            let (done, shown) =
                tokio::join!(owner.batch_execute(reset), owner.value("show timezone"));
            done.expect(reset);
            assert_eq!(shown, "Europe/Rome", "{mode}: {reset}");
        }
    }
}
