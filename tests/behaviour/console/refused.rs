//! A person who was refused, and a person who is to find out why; and the same who looks for
//! the holder of an old version. Two commands each.

use std::time::Duration;

use super::{column, console, proxy};
use crate::common::cli::{pgvalet, pgvalet_ok};
use crate::common::client::told;
use crate::common::{Proxy, connect, eventually};

/// What the command prints; `true` if it ended with 0.
fn run(proxy: &Proxy, args: &[&str]) -> (bool, String) {
    let output = pgvalet(&proxy.config(), args, "");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_client_is_shown_a_ref_that_leads_to_the_reason() {
    let (_cluster, proxy) = proxy("").await;
    // The first command: what the developer did.
    let refused = connect(&proxy.dsn_as("dev", "otherr"))
        .await
        .err()
        .expect("refused");
    let words = told(&refused);
    assert_eq!(words.0, "28000");
    let said = refused.as_db_error().expect("an error").message();
    let reference = said
        .strip_prefix("access denied (ref ")
        .and_then(|rest| rest.strip_suffix(')'))
        .unwrap_or_else(|| panic!("{said}"));
    // The second: why.
    let (worked, why) = run(&proxy, &["explain", "--ref", reference]);
    assert!(worked, "{why}");
    for part in [
        "there is no database of this name",
        "did it mean database \"other\"?",
        "asked for database \"otherr\" as user \"dev\"",
        "it allows the user name dba",
    ] {
        assert!(why.contains(part), "{part} is missing in:\n{why}");
    }
    // The record and the log have it as well, and the user that was asked for.
    let denied = &proxy.audit_seen("session.deny").await[0];
    assert_eq!(denied["ref"], reference);
    assert_eq!(denied["requested_user"], "dev");
    let log = proxy.log();
    let line = log
        .lines()
        .find(|l| l.contains("client denied"))
        .expect("a line");
    assert!(line.contains(reference) && line.contains("dev"), "{line}");
    // Whatever the reason, a client is told the same.
    let other = connect(&proxy.dsn_as("dev", "pgvalet"))
        .await
        .err()
        .expect("refused");
    assert_eq!(told(&other), words);
    let (worked, unknown) = run(&proxy, &["explain", "--ref", "nope"]);
    assert!(
        !worked && unknown.contains("no denial with the ref"),
        "{unknown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_takes_an_address_as_the_log_has_it() {
    let (_cluster, proxy) = proxy("").await;
    for from in ["127.0.0.1:5000", "127.0.0.1"] {
        let (worked, said) = run(&proxy, &["explain", "--database", "app", "--from", from]);
        assert!(worked && said.contains("let in as \"api\""), "{said}");
    }
    let (worked, said) = run(
        &proxy,
        &[
            "explain",
            "--database",
            "pgvalet",
            "--from",
            "127.0.0.1:5",
            "--user",
            "dba",
        ],
    );
    assert!(worked && said.contains("to the console"), "{said}");
    let (worked, said) = run(
        &proxy,
        &["explain", "--database", "ap", "--from", "127.0.0.1"],
    );
    assert!(
        !worked && said.contains("did you mean database \"app\"?"),
        "{said}"
    );
    let (worked, said) = run(&proxy, &["explain", "--database", "app", "--from", "here"]);
    assert!(!worked && said.contains("10.0.0.7:5000"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_holder_of_an_old_version_is_named_and_removed_by_two_commands() {
    let (cluster, proxy) = proxy("").await;
    let holder = proxy.connect("app").await;
    holder.batch_execute("begin").await.expect("a lease");
    proxy.rotate(&cluster, "app_user").await;
    let shown = eventually("it is named", Duration::from_secs(10), || async {
        let shown = pgvalet_ok(&proxy.config(), &["clients", "--old"], "");
        shown.contains("(old)").then_some(shown)
    })
    .await;
    let id = shown
        .lines()
        .nth(1)
        .and_then(|l| l.split_whitespace().next())
        .expect("an id");
    pgvalet_ok(&proxy.config(), &["kill", "--id", id], "");
    let error = holder.simple_query("select 1").await.expect_err("ended");
    assert!(error.is_closed() || told(&error).0 == "57P01", "{error:?}");
    let record = &proxy.audit_seen("admin").await[0];
    assert_eq!(record["action"], format!("KILL_CLIENT {id}"));
    assert_eq!(record["client"], "admin token");
    assert!(
        record["source"]
            .as_str()
            .is_some_and(|s| s.starts_with("127.0.0.1:")),
        "{record}"
    );
}

/// The names that a running proxy does not know, by every command that takes one.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_the_proxy_does_not_know_is_wrong_usage() {
    let (_cluster, proxy) = proxy("").await;
    for arguments in [
        &["status", "--database", "none"][..],
        &["clients", "none"],
        &["servers", "none"],
        &["pause", "none"],
        &["resume", "none"],
        &["reconnect", "none"],
        &["kill", "none"],
        &["kill", "--id", "4711"],
        &["refresh", "none"],
        &["rotation", "approve", "none"],
        &["explain", "--ref", "ffff"],
    ] {
        let output = pgvalet(&proxy.config(), arguments, "");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    }
    // What is there, and cannot be done, has failed.
    for arguments in [&["resume", "app"][..], &["rotation", "approve", "app"]] {
        let output = pgvalet(&proxy.config(), arguments, "");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    }
}

/// Who works, who only keeps a connection, who waits, and who does nothing. The console goes on in
/// PgBouncer's words.
#[tokio::test(flavor = "multi_thread")]
async fn clients_show_what_they_do() {
    let (_cluster, proxy) = proxy("pool_size = 3").await;
    let (thinks, idles) = (proxy.connect("app").await, proxy.connect("app").await);
    let (works, waits) = (proxy.connect("app").await, proxy.connect("app").await);
    let pinned = proxy.connect("app").await;
    idles.value("select 1").await;
    pinned.value("select pg_advisory_lock(1)").await;
    thinks.batch_execute("begin").await.expect("a lease");
    let works = tokio::spawn(async move { works.value("select pg_sleep(30)").await });
    let states = async |of: &str| -> Vec<String> {
        let said = pgvalet_ok(&proxy.config(), &[of, "app", "--json"], "");
        let clients: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        let clients = clients.as_array().expect("a list");
        let state = |c: &serde_json::Value| c["state"].as_str().unwrap_or_default().to_owned();
        clients.iter().map(state).collect()
    };
    eventually(
        "three hold a connection",
        Duration::from_secs(10),
        || async { (states("servers").await == ["active"; 3]).then_some(()) },
    )
    .await;
    let waits = tokio::spawn(async move { waits.value("select 'served'").await });
    // As they came.
    let expected = ["idle in transaction", "idle", "active", "waiting", "idle"];
    eventually(
        "each does what it does",
        Duration::from_secs(10),
        || async { (states("clients").await == expected).then_some(()) },
    )
    .await;
    let table = pgvalet_ok(&proxy.config(), &["clients", "app"], "");
    for part in ["idle in transaction", "idle, pinned: advisory"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let console = console(&proxy).await;
    let of_pgbouncer = column(&console, "SHOW CLIENTS app", "state").await;
    assert_eq!(
        of_pgbouncer,
        ["active", "idle", "active", "waiting", "active"]
    );
    thinks.batch_execute("commit").await.expect("committed");
    assert_eq!(waits.await.expect("no panic"), "served");
    works.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_and_resume_by_the_command_line() {
    let (_cluster, proxy) = proxy("").await;
    let client = proxy.connect("app").await;
    client.value("select 1").await;
    let servers = pgvalet_ok(&proxy.config(), &["servers", "app"], "");
    assert!(
        servers.contains("app_user") && servers.contains("idle"),
        "{servers}"
    );
    let said = pgvalet_ok(&proxy.config(), &["pause", "app"], "");
    assert!(said.contains("PAUSE app"), "{said}");
    assert_eq!(
        pgvalet_ok(&proxy.config(), &["servers", "app", "--json"], "").trim(),
        "[]"
    );
    let waiting = tokio::spawn(async move { client.value("select 'served'").await });
    eventually("it waits", Duration::from_secs(10), || async {
        let clients = pgvalet_ok(&proxy.config(), &["clients", "app"], "");
        clients.contains("waiting").then_some(())
    })
    .await;
    let (worked, again) = run(&proxy, &["pause", "app"]);
    assert!(!worked && again.contains("paused already"), "{again}");
    let (worked, unknown) = run(&proxy, &["pause", "ap"]);
    assert!(
        !worked && unknown.contains("did you mean app?"),
        "{unknown}"
    );
    pgvalet_ok(&proxy.config(), &["resume"], "");
    assert_eq!(waiting.await.expect("no panic"), "served");
    pgvalet_ok(&proxy.config(), &["reconnect"], "");
}
