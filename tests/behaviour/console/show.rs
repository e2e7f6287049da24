//! What the console shows, and to which clients.

use std::process::{Command, Stdio};
use std::time::Duration;

use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::{column, console, proxy, try_column};
use crate::common::client::told;
use crate::common::{Proxy, binaries, connect, eventually, raw, raw::Raw};

const SHOWS: [&str; 28] = [
    "CLIENTS",
    "CONFIG",
    "DATABASES",
    "FDS",
    "LISTS",
    "PEERS",
    "PEER_POOLS",
    "POOLS",
    "SERVERS",
    "SOCKETS",
    "ACTIVE_SOCKETS",
    "STATS",
    "STATS_TOTALS",
    "STATS_AVERAGES",
    "USERS",
    "VERSION",
    "TOTALS",
    "MEM",
    "DNS_HOSTS",
    "DNS_ZONES",
    "STATE",
    "SECRETS",
    "GENERATIONS",
    "DRAINS",
    "ROTATIONS",
    "RULES",
    "TROUBLE",
    "AUDIT",
];

fn psql(proxy: &Proxy, user: &str, database: &str, commands: &[&str]) -> (bool, String) {
    let programs = binaries::all().into_iter().map(|b| b.bin.join("psql"));
    let program = programs.into_iter().find(|p| p.exists()).expect("psql");
    let mut psql = Command::new(program);
    psql.args(["-X", "-A", "-h", "127.0.0.1", "-p", &proxy.port.to_string()])
        .args(["-U", user, "-d", database, "--no-password"])
        .args(commands.iter().flat_map(|c| ["-c", c]))
        .stdin(Stdio::null());
    let output = psql.output().expect("psql runs");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_sees_everything_under_both_names() {
    let (_cluster, proxy) = proxy("").await;
    let client = proxy.connect("app").await;
    client.value("select 1").await;
    let commands: Vec<String> = SHOWS.iter().map(|s| format!("show {s};")).collect();
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    for database in ["pgvalet", "pgbouncer"] {
        let (worked, said) = psql(&proxy, "dba", database, &commands);
        assert!(worked, "{said}");
        for part in [
            "cl_active|cl_waiting",
            "127.0.0.1",
            "app_user",
            "listen.address",
            "PgBouncer 1.25",
        ] {
            assert!(said.contains(part), "{part} is missing in {said}");
        }
    }
    let (worked, help) = psql(&proxy, "dba", "pgvalet", &["SHOW HELP"]);
    assert!(worked && help.contains("KILL_CLIENT"), "{help}");
    // Several statements, with comments, in one query.
    let several = ["/* a */ SHOW version; show STATE -- b"];
    let (worked, said) = psql(&proxy, "dba", "pgvalet", &several);
    assert!(worked && said.contains("suspended|no"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_misspelt_has_a_hint() {
    let (_cluster, proxy) = proxy("").await;
    let console = console(&proxy).await;
    for (text, sqlstate, hint) in [
        ("SHOW CLINETS", "42601", "Did you mean SHOW CLIENTS?"),
        ("PUASE", "42601", "Did you mean PAUSE?"),
        ("PAUSE ap", "3D000", "Did you mean app?"),
        ("ROTATE ap", "42704", "Did you mean app?"),
        (
            "SELECT * FROM pg_class",
            "42601",
            "The console has commands; SHOW HELP lists them.",
        ),
        (
            "KILL_CLIENT 4711",
            "42704",
            "SHOW CLIENTS in the console and `pgvalet clients` show the ids.",
        ),
    ] {
        let error = console.simple_query(text).await.expect_err("an error");
        let (code, _, _, hinted) = told(&error);
        assert_eq!(
            (code.as_str(), hinted.as_deref()),
            (sqlstate, Some(hint)),
            "{text}"
        );
    }
    // The session goes on.
    assert_eq!(
        column(&console, "SHOW STATE", "value").await,
        ["yes", "no", "no"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_and_servers_are_shown_with_what_they_do() {
    let (_cluster, proxy) = proxy("pool_size = 1").await;
    let console = console(&proxy).await;
    let dsn = format!("{} application_name=worker", proxy.dsn("app"));
    let holder = connect(&dsn).await.expect("in");
    holder.batch_execute("begin").await.expect("a lease");
    let waiter = proxy.connect("app").await;
    let waiting = tokio::spawn(async move { waiter.value("select 7").await });
    eventually("one waits", Duration::from_secs(10), || async {
        let states = column(&console, "SHOW CLIENTS app", "state").await;
        (states == ["active", "waiting"]).then_some(())
    })
    .await;
    assert_eq!(
        column(&console, "SHOW CLIENTS app", "application_name").await,
        ["worker", ""]
    );
    assert_eq!(
        column(&console, "SHOW SERVERS app", "state").await,
        ["active"]
    );
    assert_eq!(
        column(&console, "SHOW SERVERS app", "user").await,
        ["app_user"]
    );
    let server = column(&console, "SHOW SERVERS app", "ptr").await;
    assert_eq!(
        column(&console, "SHOW CLIENTS app", "link").await[0],
        server[0]
    );
    let pid = holder.value("select pg_backend_pid()").await;
    assert_eq!(
        column(&console, "SHOW SERVERS app", "remote_pid").await,
        [pid]
    );
    assert_eq!(
        column(&console, "SHOW POOLS app", "cl_waiting").await,
        ["1"]
    );
    assert_eq!(column(&console, "SHOW POOLS app", "sv_active").await, ["1"]);
    holder.batch_execute("commit").await.expect("done");
    assert_eq!(waiting.await.expect("no panic"), "7");
    let assigned = column(&console, "SHOW STATS app", "total_server_assignment_count").await;
    assert!(assigned[0].parse::<u64>().expect("a number") >= 2);
    let waited = column(&console, "SHOW STATS app", "total_wait_time").await;
    assert_ne!(waited, ["0"]);
}

/// Drivers prepare everything, and ask for binary results.
#[tokio::test(flavor = "multi_thread")]
async fn the_extended_protocol() {
    let (_cluster, proxy) = proxy("").await;
    let console = console(&proxy).await;
    let rows = console.query("SHOW DATABASES", &[]).await.expect("rows");
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].get::<_, &str>("name"), "app");
    assert_eq!(rows[0].get::<_, i32>("pool_size"), 20);
    assert_eq!(rows[0].get::<_, Option<&str>>("load_balance_hosts"), None);
    let statement = console.prepare("SHOW VERSION").await.expect("prepared");
    for _ in 0..3 {
        let row = console.query_one(&statement, &[]).await.expect("a row");
        assert!(row.get::<_, &str>(0).contains("pgvalet"));
    }
    let refreshed = console.query("REFRESH app", &[]).await.expect("rows");
    assert_eq!(refreshed[0].get::<_, &str>("changed"), "no");
    let error = console
        .query("SHOW NOTHING", &[])
        .await
        .expect_err("an error");
    assert_eq!(told(&error).0, "42601");
    let error = console
        .query("SELECT $1::text", &[&"a"])
        .await
        .expect_err("an error");
    assert_eq!(told(&error).0, "42601");
    assert_eq!(console.query("", &[]).await.expect("nothing").len(), 0);
    // Row by row, as a driver with a fetch size has it.
    let dsn = proxy.dsn_as("dba", "pgvalet");
    let (mut console, connection) = tokio_postgres::connect(&dsn, NoTls).await.expect("in");
    tokio::spawn(connection);
    let transaction = console.transaction().await.expect("BEGIN");
    let portal = transaction.bind("SHOW RULES", &[]).await.expect("bound");
    let mut numbers = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, 2).await.expect("rows");
        if rows.is_empty() {
            break;
        }
        numbers.extend(rows.iter().map(|r| r.get::<_, i32>("rule")));
    }
    assert_eq!(numbers, [1, 2, 3]);
    transaction.commit().await.expect("COMMIT");
}

/// What no driver sends.
#[tokio::test(flavor = "multi_thread")]
async fn odd_messages() {
    let (_cluster, proxy) = proxy("").await;
    let mut console = Raw::open(&proxy).await;
    let who = [("user", "dba"), ("database", "pgvalet")];
    console.send(&raw::start_up(0x0003_0000, &who)).await;
    console.until(b'Z').await;
    // An error skips what follows, up to Sync.
    let batch = [
        raw::parse("a", "SHOW STATE"),
        raw::parse("a", "SHOW STATE"),
        raw::run("a"),
        raw::sync(),
    ];
    let answer = console.ask(&batch.concat()).await;
    assert_eq!(raw::tags(&answer), "1EZ");
    assert_eq!(raw::sqlstate(&answer).as_deref(), Some("42P05"));
    let answer = console.ask(&[raw::run("a"), raw::sync()].concat()).await;
    assert_eq!(raw::tags(&answer), "2DDDCZ");
    let answer = console
        .ask(&[raw::close("a"), raw::run("a"), raw::sync()].concat())
        .await;
    assert_eq!(raw::tags(&answer), "3EZ");
    assert_eq!(raw::tags(&console.ask(&raw::query("")).await), "IZ");
    assert_eq!(
        raw::tags(
            &console
                .ask(&raw::query("show state; nonsense; show state"))
                .await
        ),
        "TDDDCEZ"
    );
    assert_eq!(raw::tags(&console.ask(&raw::query("'")).await), "EZ");
    assert_eq!(
        raw::tags(&console.ask(&raw::message(b'F', b"\0\0")).await),
        "EZ"
    );
    // What is too long, or cut short, or no message, ends the session with a reason.
    for odd in [
        raw::message(b'Q', &[b'x'; 100_000]),
        raw::message(b'B', b"\0"),
        b"Q\xff\xff\xff\xff".to_vec(),
        raw::message(b'?', b""),
    ] {
        let mut console = Raw::open(&proxy).await;
        console.send(&raw::start_up(0x0003_0000, &who)).await;
        console.until(b'Z').await;
        console.send(&odd).await;
        let answer = console.until(b'E').await;
        assert_eq!(raw::sqlstate(&answer).as_deref(), Some("08P01"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_is_shown_in_the_words_of_the_verdict() {
    let (_cluster, proxy) = proxy("").await;
    let console = console(&proxy).await;
    assert!(column(&console, "SHOW TROUBLE", "kind").await.is_empty());
    let wrong = std::fs::read_to_string(proxy.config()).expect("read") + "\n[nonsense]\n";
    std::fs::write(proxy.config(), wrong).expect("written");
    console.simple_query("RELOAD").await.expect_err("refused");
    eventually("it is shown", Duration::from_secs(10), || async {
        let kinds = column(&console, "SHOW TROUBLE", "kind").await;
        (kinds == ["reload_failed"]).then_some(())
    })
    .await;
    let verdict = proxy.status().await["troubles"][0]["sentence"].clone();
    let said = column(&console, "SHOW TROUBLE", "trouble").await;
    assert_eq!(Some(said[0].as_str()), verdict.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_records_are_shown() {
    let (_cluster, proxy) = proxy("").await;
    let client = proxy.connect("app").await;
    client.value("select 1").await;
    let console = console(&proxy).await;
    let conditions = column(&console, "SHOW RULES", "conditions").await;
    assert_eq!(conditions, ["network 127.0.0.0/8"; 3]);
    eventually("the records are there", Duration::from_secs(10), || async {
        let events = column(&console, "SHOW AUDIT", "event").await;
        let has = |event: &str| events.iter().any(|e| e == event);
        (has("session.start") && has("credential.use")).then_some(())
    })
    .await;
    // The newest comes first, and a name picks rows.
    let numbers = column(&console, "SHOW AUDIT", "seq").await;
    let numbers: Vec<u64> = numbers
        .iter()
        .map(|n| n.parse().expect("a number"))
        .collect();
    assert!(numbers.is_sorted_by(|a, b| a > b), "{numbers:?}");
    let clients = column(&console, "SHOW AUDIT api", "client").await;
    assert!(!clients.is_empty() && clients.iter().all(|c| c == "api"));
    // A number says how many.
    for most in [1, 2] {
        let show = format!("SHOW AUDIT {most}");
        let newest = column(&console, &show, "seq").await;
        assert_eq!(newest.len(), most, "{newest:?}");
    }
    assert!(column(&console, "SHOW AUDIT 0", "seq").await.is_empty());
    let error = try_column(&console, "SHOW AUDIT 5000", "seq").await;
    assert_eq!(told(&error.expect_err("too many")).0, "22023");
    // What has not happened is no mistake; what cannot happen is.
    let none = column(&console, "SHOW AUDIT rotation.step", "seq").await;
    assert!(none.is_empty());
    let error = console.simple_query("SHOW AUDIT sesion.start").await;
    let error = error.expect_err("no such event");
    assert_eq!(hint(&error), "Did you mean session.start?");
}

fn hint(error: &tokio_postgres::Error) -> String {
    let error = error.as_db_error().expect("an error of the console");
    error.hint().unwrap_or_default().to_owned()
}

/// Each SHOW takes a name, and tells who has misspelt it from who looks for what is not there at
/// the moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_picks_rows_and_a_misspelt_one_is_an_error() {
    let (_cluster, proxy) = proxy("").await;
    let console = console(&proxy).await;
    proxy.connect("app").await.value("select 1").await;
    for show in [
        "SHOW CONFIG listen.max_clients",
        "SHOW CONFIG max_clients",
        "SHOW DATABASES app",
        "SHOW POOLS app",
        "SHOW STATS app",
        "SHOW STATS_TOTALS app",
        "SHOW STATS_AVERAGES app",
        "SHOW USERS api",
        "SHOW LISTS databases",
        "SHOW TOTALS total_xact_count",
        "SHOW STATE active",
        "SHOW SECRETS app",
        "SHOW GENERATIONS app",
        "SHOW RULES viewer",
        "SHOW RULES 2",
        "SHOW SERVERS app",
    ] {
        let rows = console.simple_query(show).await;
        let rows = rows.unwrap_or_else(|e| panic!("{show}: {e:?}"));
        let is_row = |m: &SimpleQueryMessage| matches!(m, SimpleQueryMessage::Row(_));
        assert!(rows.iter().any(is_row), "{show}");
    }
    // There may be such a row at another time.
    for show in [
        "SHOW CLIENTS other",
        "SHOW DRAINS app",
        "SHOW ROTATIONS app",
        "SHOW TROUBLE app",
        "SHOW FDS app",
        "SHOW CLIENTS viewer",
    ] {
        let rows = console.simple_query(show).await;
        rows.unwrap_or_else(|e| panic!("{show}: {e:?}"));
    }
    for (show, meant) in [
        ("SHOW CONFIG listen.max_client", "listen.max_clients"),
        ("SHOW CONFIG max_client", "max_clients"),
        ("SHOW DATABASES othr", "other"),
        ("SHOW POOLS othr", "other"),
        ("SHOW CLIENTS othr", "other"),
        ("SHOW STATS othr", "other"),
        ("SHOW RULES viewr", "viewer"),
        ("SHOW TOTALS total_xact_coun", "total_xact_count"),
        ("SHOW DRAINS othr", "other"),
    ] {
        let error = console.simple_query(show).await.expect_err(show);
        assert_eq!(told(&error).0, "42704", "{show}");
        assert_eq!(hint(&error), format!("Did you mean {meant}?"), "{show}");
    }
    let error = console.simple_query("SHOW MEM quatsch").await;
    let error = error.expect_err("nothing is called so");
    assert_eq!(hint(&error), "SHOW MEM without a name has all rows.");
}

/// What waits for a restart is not in force yet.
#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_in_force_is_shown() {
    let (_cluster, proxy) = proxy("").await;
    let console = console(&proxy).await;
    let value = async |key: &str| {
        let show = format!("SHOW CONFIG '{key}'");
        column(&console, &show, "value").await
    };
    let before = value("listen.socket_mode").await;
    proxy
        .reload(|text| {
            text.replace(
                "[listen]\n",
                "[listen]\nsocket_mode = \"0600\"\nmax_clients = 77\n",
            )
        })
        .await;
    eventually("the reload", Duration::from_secs(10), || async {
        (value("listen.max_clients").await == ["77"]).then_some(())
    })
    .await;
    assert_eq!(value("listen.socket_mode").await, before);
}
