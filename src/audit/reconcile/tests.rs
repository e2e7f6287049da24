//! Every line of Postgres's log has its client and version, or is listed.

use std::path::Path;

use serde_json::json;

use super::*;
use crate::audit::answers::Fact;

fn fact(second: &str, mut record: serde_json::Value) -> Fact {
    record["time"] = format!("2026-01-02T03:04:{second}Z").into();
    record["proxy"] = "h:1".into();
    serde_json::from_value(record).expect("a fact")
}

fn server(pid: i32) -> serde_json::Value {
    json!({ "host": "db", "port": 5432, "pid": pid })
}

fn evidence() -> Evidence {
    let credential = json!({ "secret": "s", "version": "v", "user": "app" });
    let mut evidence = Evidence::default();
    let open =
        |pid| json!({ "event": "server.open", "credential": credential, "server": server(pid) });
    let lease = |pid, client: &str, ms| json!({ "event": "lease", "client": client, "server": server(pid), "duration_ms": ms });
    for fact in [
        fact("01.000000", open(10)),
        fact("01.000000", open(11)),
        fact("03.000000", lease(10, "api", 1000)),
        fact("05.000000", lease(10, "batch", 1000)),
        fact("05.001000", lease(10, "api", 0)),
    ] {
        evidence.take(&fact);
    }
    evidence
}

const LOG: &str = "\
2026-01-02 03:04:00.990 UTC [10] app LOG:  connection authorized: user=app database=d
2026-01-02 03:04:00.995 UTC [99] eve LOG:  connection authorized: user=eve database=d
2026-01-02 03:04:02.500 UTC [10] app LOG:  statement: select 1
2026-01-02 03:04:03.500 UTC [10] app LOG:  statement: DISCARD ALL
2026-01-02 03:04:04.500 UTC [10] app LOG:  duration: 0.1 ms  execute s1: select $1
2026-01-02 03:04:04.500 UTC [10] app DETAIL:  parameters: $1 = '1'
2026-01-02 03:04:05.000 UTC [10] [batch] LOG:  statement: select 2
2026-01-02 03:04:05.000 UTC [10] app LOG:  statement: select 3
2026-01-02 03:04:06.000 UTC [98] app LOG:  statement: select 4
2026-01-02 03:04:07.000 UTC [1] LOG:  connection authorized: user=late
";

fn lines(text: &str, name: &str, prefix: &str) -> Vec<PostgresLine> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(name);
    std::fs::write(&path, text).expect("written");
    let format = LogFormat::of(&path, prefix).expect("a format");
    let mut lines = Vec::new();
    read(&path, &format, |line| lines.push(line)).expect("read");
    lines
}

#[test]
fn each_line_is_of_one_client_and_version_or_is_listed() {
    let found = reconcile(&evidence(), &lines(LOG, "log", "%m [%p] %q%a "));
    assert_eq!((found.logins, found.logins_found), (3, 1));
    assert_eq!((found.statements, found.own), (6, 1));
    let expected = [("api with s v", 1), ("batch with s v", 2)];
    let by_client: Vec<_> = found
        .by_client
        .iter()
        .map(|(k, n)| (k.as_str(), *n))
        .collect();
    assert_eq!(by_client, expected);
    let left: Vec<&str> = found.left.iter().map(|l| l.why.as_str()).collect();
    assert_eq!(left.len(), 5, "{left:#?}");
    for part in [
        "has no server.open",
        "may be of api, batch",
        "no connection of pgvalet's",
        "process id 11",
    ] {
        assert!(
            left.iter().any(|why| why.contains(part)),
            "{part}: {left:#?}"
        );
    }
}

/// The last leases of a process that was killed have no record, and others end just before them.
#[test]
fn the_leases_that_a_kill_ended_are_told_by_the_name_that_postgres_was_shown() {
    let credential = json!({ "secret": "s", "version": "v", "user": "app" });
    let mut evidence = Evidence::default();
    let begins = |id: &str, client: &str, pid| {
        let server = server(pid);
        json!({ "event": "credential.use", "session": id, "client": client, "credential": credential, "server": server })
    };
    let lease = |client: &str| json!({ "event": "lease", "client": client, "server": server(10), "duration_ms": 1 });
    let mut gap = fact("09.000000", json!({ "event": "gap" }));
    gap.proxy = "h:2".to_owned();
    for fact in [
        fact(
            "01.000000",
            json!({ "event": "server.open", "credential": credential, "server": server(10) }),
        ),
        fact("02.000000", begins("1", "api", 10)),
        fact("02.000000", begins("2", "batch", 10)),
        // It had another connection first.
        fact("02.000000", begins("3", "jobs", 11)),
        fact("05.000000", lease("api")),
        fact("05.001000", lease("batch")),
        gap,
    ] {
        evidence.take(&fact);
    }
    evidence.finish();
    let log = "\
2026-01-02 03:04:01.000 UTC [10] app LOG:  connection authorized: user=app database=d
2026-01-02 03:04:05.001 UTC [10] [batch] LOG:  execute <unnamed>: SET \"application_name\" = '[jobs]'
2026-01-02 03:04:05.002 UTC [10] [jobs] LOG:  statement: select 1
2026-01-02 03:04:06.000 UTC [10] [jobs] LOG:  statement: select 2
2026-01-02 03:04:07.000 UTC [10] [api] LOG:  statement: select 3
";
    let found = reconcile(&evidence, &lines(log, "log", "%m [%p] %q%a "));
    assert!(found.left.is_empty(), "{:?}", found.left);
    let expected = [
        ("api with s v", 1),
        ("batch with s v", 1),
        ("jobs with s v", 2),
    ];
    let by_client: Vec<_> = found
        .by_client
        .iter()
        .map(|(k, n)| (k.as_str(), *n))
        .collect();
    assert_eq!(by_client, expected);
}

#[test]
fn the_forms_of_postgres_say_the_same() {
    let text = lines(
        &LOG.lines().take(3).collect::<Vec<_>>().join("\n"),
        "log",
        "%m [%p] %u ",
    );
    let json = [
        json!({ "timestamp": "2026-01-02 03:04:00.990 UTC", "pid": 10, "user": "app", "message": "connection authorized: user=app" }),
        json!({ "timestamp": "2026-01-02 03:04:00.995 UTC", "pid": 99, "user": "eve", "message": "connection authorized: user=eve" }),
        json!({ "timestamp": "2026-01-02 03:04:02.500 UTC", "pid": 10, "user": "app", "message": "statement: select 1" }),
    ];
    let json = lines(&json.map(|l| l.to_string() + "\n").concat(), "log.json", "");
    let csv = |time: &str, user: &str, pid: i32, message: &str| {
        format!(
            "2026-01-02 03:04:{time} UTC,{user},d,{pid},,,,,,,,LOG,00000,\"{message}\",,,,,,,,,\"\",b,,0\n"
        )
    };
    let csv = [
        csv("00.990", "app", 10, "connection authorized: user=app"),
        csv("00.995", "eve", 99, "connection authorized: user=eve"),
        csv("02.500", "app", 10, "statement: select 1"),
    ];
    let csv = lines(&csv.concat(), "log.csv", "");
    let shape = |lines: &[PostgresLine]| -> Vec<_> {
        let of = |l: &PostgresLine| (l.line, l.time, l.pid, l.user.clone(), l.wanted.clone());
        lines.iter().map(of).collect()
    };
    assert_eq!(shape(&text), shape(&json));
    assert_eq!(shape(&text), shape(&csv));
}

#[test]
fn a_log_that_cannot_be_compared_is_an_error() {
    assert!(LogFormat::of(Path::new("log"), "%t [%p]").is_err());
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log");
    let said = |text: &str| {
        std::fs::write(&path, text).expect("written");
        let format = LogFormat::of(&path, "%m [%p] ").expect("a format");
        let read = read(&path, &format, |_| {});
        read.expect_err("cannot be compared").to_string()
    };
    let zone = "2026-01-02 03:04:00.990 CET [10] LOG:  statement: select 1\n";
    assert!(said(zone).contains("log_timezone"));
    assert!(said("something else\nand more\n").contains("--prefix"));
}
