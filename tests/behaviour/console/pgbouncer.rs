//! What PgBouncer's own tests of its console (test/test_admin.py, 1.25) ask for, where that makes
//! sense here. Left out are: `[users]` and `auth_type`, which pgvalet does not have, the texts and
//! SQLSTATEs of errors (ours name what is wrong and a hint), and numbers of sockets one after the
//! other (ours are those of sessions).

use std::time::Duration;

use super::{column, console, proxy};
use crate::common::client::told;
use crate::common::{Proxy, Session, eventually};

const SOON: Duration = Duration::from_secs(10);

/// The clients of databases, without those of the console.
async fn clients(console: &Session) -> usize {
    let databases = column(console, "SHOW CLIENTS", "database").await;
    databases.iter().filter(|name| *name != "pgvalet").count()
}

async fn are_left(console: &Session, count: usize) {
    eventually("the clients are gone", SOON, || async {
        (clients(console).await == count).then_some(())
    })
    .await;
}

async fn connected(proxy: &Proxy, database: &str) -> Session {
    let session = proxy.connect(database).await;
    session.value("select 1").await;
    session
}

#[tokio::test(flavor = "multi_thread")]
async fn reload_of_a_wrong_file_is_an_error() {
    let (_cluster, proxy) = proxy("").await;
    let console = console(&proxy).await;
    let good = std::fs::read_to_string(proxy.config()).expect("read");
    let bad = good.replace(
        "[database.app]\n",
        "[database.app]\nserver_lifetime = \"soon\"\n",
    );
    assert_ne!(good, bad);
    std::fs::write(proxy.config(), bad).expect("written");
    let error = console.simple_query("RELOAD").await.expect_err("a mistake");
    let (_, said, ..) = told(&error);
    assert!(said.contains("server_lifetime"), "{said}");
    std::fs::write(proxy.config(), good).expect("written");
    console.simple_query("RELOAD").await.expect("reloaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_jdbc_sets_is_accepted() {
    let (_cluster, proxy) = proxy("").await;
    let set = "SET extra_float_digits = 2";
    console(&proxy).await.simple_query(set).await.expect("set");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_client_has_an_id_of_its_own_that_is_higher_than_the_last() {
    let (_cluster, proxy) = proxy("").await;
    let console = console(&proxy).await;
    let mut last = 0;
    for _ in 0..3 {
        let client = connected(&proxy, "app").await;
        for show in ["SHOW CLIENTS", "SHOW SOCKETS"] {
            let databases = column(&console, show, "database").await;
            let ids = column(&console, show, "id").await;
            let types = column(&console, show, "type").await;
            let mut of_app = databases.iter().zip(ids).zip(types);
            let found = of_app.find(|((database, _), kind)| *database == "app" && kind == "C");
            let ((_, id), _) = found.expect("the client");
            let id: u64 = id.parse().expect("a number");
            assert!(id >= last && (show == "SHOW SOCKETS" || id > last), "{id}");
            last = id;
        }
        drop(client);
        are_left(&console, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_idle_waits_and_is_active() {
    let (_cluster, proxy) = proxy("").await;
    let console = console(&proxy).await;
    let client = connected(&proxy, "app").await;
    let is = async |state: &str| {
        eventually(state, SOON, || async {
            let states = column(&console, "SHOW CLIENTS app", "state").await;
            (states == [state]).then_some(())
        })
        .await;
    };
    is("idle").await;
    console.simple_query("PAUSE app").await.expect("paused");
    let blocked = tokio::spawn(async move {
        client.value("select 2").await;
        client
    });
    is("waiting").await;
    console.simple_query("RESUME app").await.expect("resumed");
    let client = blocked.await.expect("no panic");
    client.simple_query("BEGIN").await.expect("begun");
    is("active").await;
    client.simple_query("ROLLBACK").await.expect("over");
    is("idle").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_ends_the_clients_of_one_database_or_of_all() {
    let (_cluster, proxy) = proxy("").await;
    let console = console(&proxy).await;
    let all = [
        connected(&proxy, "app").await,
        connected(&proxy, "app").await,
        connected(&proxy, "other").await,
    ];
    let error = console.simple_query("KILL dne").await.expect_err("unknown");
    assert_eq!(told(&error).0, "3D000");
    assert_eq!(clients(&console).await, 3);
    console.simple_query("KILL app").await.expect("killed");
    are_left(&console, 1).await;
    console.simple_query("RESUME app").await.expect("resumed");
    let more = connected(&proxy, "app").await;
    console.simple_query("KILL").await.expect("killed");
    are_left(&console, 0).await;
    for session in all.iter().chain([&more]) {
        assert!(session.simple_query("select 1").await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_client_ends_one_and_says_if_there_is_none() {
    let (_cluster, proxy) = proxy("").await;
    let console = console(&proxy).await;
    let client = connected(&proxy, "app").await;
    for (command, sqlstate) in [
        ("KILL_CLIENT 100000", "42704"),
        ("KILL_CLIENT no_id", "42601"),
    ] {
        let error = console.simple_query(command).await.expect_err("no client");
        assert_eq!(told(&error).0, sqlstate, "{command}");
    }
    assert_eq!(clients(&console).await, 1);
    let id = column(&console, "SHOW CLIENTS app", "id").await.remove(0);
    let kill = format!("KILL_CLIENT {id}");
    console.simple_query(&kill).await.expect("killed");
    are_left(&console, 0).await;
    assert!(client.simple_query("select 1").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_is_that_of_the_program() {
    let (_cluster, proxy) = proxy("").await;
    let shown = column(&console(&proxy).await, "SHOW VERSION", "version").await;
    let program = std::process::Command::new(crate::common::cli::PGVALET)
        .arg("--version")
        .output()
        .expect("runs");
    let version = String::from_utf8_lossy(&program.stdout);
    assert!(
        shown[0].ends_with(&format!("({})", version.trim())),
        "{shown:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_count_transactions_queries_and_assignments() {
    let (_cluster, proxy) = proxy("pool_mode = \"session\"").await;
    let console = console(&proxy).await;
    for _ in 0..4 {
        connected(&proxy, "app").await;
    }
    let client = proxy.connect("app").await;
    for _ in 0..2 {
        for sql in ["BEGIN", "SELECT 1", "SELECT 1", "SELECT 1", "COMMIT"] {
            client.simple_query(sql).await.expect(sql);
        }
    }
    for (show, before) in [("SHOW STATS app", "total_"), ("SHOW STATS_TOTALS app", "")] {
        for (name, expected) in [
            ("server_assignment_count", 5),
            ("xact_count", 6),
            ("query_count", 14),
        ] {
            let found = column(&console, show, &format!("{before}{name}")).await;
            assert_eq!(found, [expected.to_string()], "{show}: {name}");
        }
    }
    let names = column(&console, "SHOW TOTALS", "name").await;
    let values = column(&console, "SHOW TOTALS", "value").await;
    let total = names.iter().position(|n| n == "total_xact_count");
    assert_eq!(values[total.expect("there")], "6");
}

/// Times are found by looking twice a second.
#[tokio::test(flavor = "multi_thread")]
async fn statistics_tell_how_long_transactions_and_queries_take() {
    let (_cluster, proxy) = proxy("").await;
    let console = console(&proxy).await;
    let client = connected(&proxy, "app").await;
    let time = async |name: &str| -> u64 {
        let found = column(&console, "SHOW STATS app", name).await;
        found[0].parse().expect("a number")
    };
    client
        .simple_query("BEGIN; SELECT pg_sleep(1.2)")
        .await
        .expect("slept");
    let (xact, query) = (
        time("total_xact_time").await,
        time("total_query_time").await,
    );
    assert!(xact >= query && query > 0, "{xact} {query}");
    // Idle in its transaction: that goes on, and no query does.
    eventually("the transaction takes longer", SOON, || async {
        (time("total_xact_time").await > xact).then_some(())
    })
    .await;
    client.simple_query("COMMIT").await.expect("over");
    assert!(time("total_query_time").await <= time("total_xact_time").await);
    assert!(time("avg_xact_time").await > 0);
}
