//! `pgvalet audit`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use pgvalet::audit::{
    Audit, AuditSink, ClientRef, ConfigRef, CredentialRef, OnAuditFailure, Options, Record,
    ServerRef, SessionRef, SessionTotals,
};
use pgvalet::metrics::Metrics;

use crate::{VALID, pgvalet, run, with_config};

fn session(client: &str) -> SessionRef {
    SessionRef {
        id: "s1".into(),
        client: client.into(),
        source: "10.0.0.1:5".into(),
        via: None,
        database: "orders".into(),
    }
}

fn session_start(client: &str) -> Record {
    let client = ClientRef {
        rule: Some((client.into(), 1)),
        ..ClientRef::default()
    };
    Record::session_start("s1".into(), client)
}

fn credential_use(client: &str, version: &str) -> Record {
    let credential = CredentialRef {
        secret: "prod/orders".into(),
        arn: "arn:aws:secretsmanager:local:000000000000:secret:prod/orders-AbCdEf".into(),
        version: version.into(),
        stages: vec!["AWSCURRENT".to_owned()],
        user: "app".into(),
    };
    let server = ServerRef {
        host: "db".into(),
        port: 5432,
        pid: Some(1),
    };
    Record::credential_use(session(client), credential, server)
}

fn session_end(client: &str) -> Record {
    Record::session_end(session(client), SessionTotals::default(), None)
}

fn audit(path: &Path) -> Audit {
    let config = Options::of(AuditSink::File(path.to_owned()), OnAuditFailure::Deny);
    Audit::open(&config, &Metrics::new()).expect("opens")
}

/// A log of four records where the configuration has it. The log itself has written one before
/// them, and two behind.
pub async fn with_log() -> (tempfile::TempDir, PathBuf) {
    let directory = with_config(VALID);
    let path = directory.path().join("data/audit.jsonl");
    let audit = audit(&path);
    audit.record(session_start("orders-api"));
    audit.record(credential_use("orders-api", "v1"));
    audit.record(credential_use("reports", "v2"));
    audit.record(session_end("orders-api"));
    audit.close().await;
    (directory, path)
}

#[tokio::test]
async fn a_good_log_verifies() {
    let (directory, _) = with_log().await;
    let (code, out, err) = run(directory.path(), &["audit", "verify"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("7 records are whole: 1 to 7"), "{out}");
    assert!(out.contains("all of them are signed"), "{out}");
    let (code, out, _) = run(
        directory.path(),
        &["audit", "verify", "--json", "data/audit.jsonl"],
    );
    let report: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (code, &report["records"], &report["last"]["seq"]),
        (Some(0), &7.into(), &7.into())
    );
}

#[tokio::test]
async fn a_tampered_log_does_not() {
    let (directory, path) = with_log().await;
    let text = fs::read_to_string(&path).expect("read");
    fs::write(&path, text.replacen("reports", "nobody!", 1)).expect("written");
    let (code, out, err) = run(directory.path(), &["audit", "verify"]);
    assert_eq!((code, err.as_str()), (Some(1), ""));
    assert!(
        out.contains("BROKEN data/audit.jsonl:4: record 4 was changed"),
        "{out}"
    );
    let lines: Vec<&str> = text.lines().collect();
    fs::write(&path, format!("{}\n{}\n", lines[0], lines[2])).expect("written");
    let (code, out, _) = run(directory.path(), &["audit", "verify"]);
    assert_eq!(code, Some(1));
    assert!(
        out.contains("data/audit.jsonl:2: record 2 is missing"),
        "{out}"
    );
    let (code, _, err) = run(directory.path(), &["audit", "verify", "none.jsonl"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("none.jsonl"), "{err}");
}

/// What commands have recorded beside the log of the proxy is checked with it.
#[tokio::test]
async fn the_logs_of_commands_are_verified_too() {
    let (directory, _) = with_log().await;
    fs::write(
        directory.path().join("value"),
        r#"{"username":"u","password":"p"}"#,
    )
    .expect("written");
    let create = ["secret", "create", "prod/orders", "--file", "value"];
    let (code, _, err) = run(directory.path(), &create);
    assert_eq!(code, Some(0), "{err}");
    let verify = |arguments: &[&str]| {
        let (code, out, err) = run(
            directory.path(),
            &[&["audit", "verify"], arguments].concat(),
        );
        assert_eq!(err, "", "{out}");
        (code, out)
    };
    let (code, out) = verify(&[]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("\ndata/audit.cli-1.jsonl:\n"), "{out}");
    let (code, out) = verify(&["--json"]);
    assert_eq!((code, out.lines().count()), (Some(0), 2), "{out}");
    let path = directory.path().join("data/audit.cli-1.jsonl");
    let text = fs::read_to_string(&path).expect("read");
    fs::write(&path, text.replacen("prod/orders", "prod/0rders", 1)).expect("written");
    let (code, out) = verify(&[]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("7 records are whole"), "{out}");
    assert!(out.contains("BROKEN data/audit.cli-1.jsonl:"), "{out}");
}

/// A name that nothing has is a mistake; one that is in the configuration has no records yet.
#[tokio::test]
async fn a_name_that_nothing_has_is_no_empty_answer() {
    let (directory, _) = with_log().await;
    for (option, wrong, meant) in [
        ("--client", "order-api", "orders-api"),
        ("--database", "order", "orders"),
        ("--secret", "prod/order", "prod/orders"),
    ] {
        let (code, out, err) = run(directory.path(), &["audit", "query", option, wrong]);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
        assert!(err.contains(&format!("did you mean {meant:?}?")), "{err}");
    }
    let past = [
        "audit",
        "query",
        "--client",
        "orders-api",
        "--until",
        "2020-01-01",
    ];
    let (code, out, err) = run(directory.path(), &past);
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "no record matches\n"),
        "{err}"
    );
}

#[tokio::test]
async fn the_log_can_be_asked() {
    let (directory, path) = with_log().await;
    let lines = |arguments: &[&str]| {
        let (code, out, err) = run(directory.path(), arguments);
        assert_eq!(code, Some(0), "{err}");
        out.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let written: Vec<String> = fs::read_to_string(&path)
        .expect("read")
        .lines()
        .map(str::to_owned)
        .collect();
    let found = lines(&[
        "audit",
        "query",
        "--secret",
        "prod/orders",
        "--version",
        "v2",
        "--json",
    ]);
    assert_eq!(found, [written[3].clone()]);
    let found = lines(&["audit", "query", "--client", "orders-api", "--since", "1h"]);
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found[0].starts_with("TIME") && found[3].contains("session.end"));
    assert_eq!(lines(&["audit", "query", "--until", "1h"]).len(), 1);
    assert_eq!(
        lines(&["audit", "tail", "-n", "2", "--json"]),
        written[3..5]
    );
}

#[tokio::test]
async fn what_is_written_can_be_followed_over_a_rotation() {
    let (directory, path) = with_log().await;
    let mut child = pgvalet(directory.path())
        .args(["audit", "tail", "--follow", "--json", "-n", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut seq = move || {
        let line = lines.next().expect("not ended").expect("read");
        let record: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        record["seq"].as_u64()
    };
    assert_eq!(seq(), Some(5));
    let audit = self::audit(&path);
    audit
        .record_durably(Record::reload(ConfigRef::default()))
        .await
        .expect("written");
    assert_eq!(seq(), Some(8));
    fs::rename(&path, directory.path().join("data/audit.jsonl.1")).expect("renamed");
    // The log is looked for at its path once a second: until then it goes on
    // in the old file, and nothing is lost either way.
    let mut written = 8;
    while !path.exists() {
        audit
            .record_durably(Record::reload(ConfigRef::default()))
            .await
            .expect("written");
        written += 1 + u64::from(path.exists()); // the new file begins with a record of its own
        assert_eq!(seq(), Some(written));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
}

/// A checkpoint that was kept elsewhere shows that a log was cut, and that it is another one.
#[tokio::test]
async fn a_log_is_compared_with_what_was_kept_of_it() {
    let (directory, path) = with_log().await;
    let at = |end: &str| directory.path().join(format!("data/audit.jsonl{end}"));
    fs::copy(at(".pub"), directory.path().join("kept.pub")).expect("copied");
    let older = fs::read(&path).expect("read");
    let beside = [".checkpoint", ".edge"].map(|end| (at(end), fs::read(at(end)).expect("read")));
    let more = audit(&path);
    more.record(session_start("reports"));
    more.close().await;
    fs::copy(at(".checkpoint"), directory.path().join("kept")).expect("copied");
    let verify = |arguments: &[&str]| {
        let arguments = [&["audit", "verify"], arguments].concat();
        let (code, out, err) = run(directory.path(), &arguments);
        assert_eq!(err, "", "{out}");
        (code, out)
    };
    let (code, out) = verify(&["--key", "kept.pub", "--checkpoint", "kept"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(!out.contains("found with the log"), "{out}");
    // A proof names the record, and is one of the newest checkpoint.
    let (code, out, err) = run(directory.path(), &["audit", "prove", "3"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("c2sp.org/tlog-proof@v1\nextra "), "{out}");
    let note = fs::read_to_string(at(".checkpoint")).expect("read");
    assert!(
        out.contains("\nindex 2\n") && out.ends_with(&format!("\n\n{note}")),
        "{out}"
    );
    // As it was before: whole by itself, and too short.
    fs::write(&path, older).expect("written");
    for (path, content) in beside {
        fs::write(path, content).expect("written");
    }
    let (code, out) = verify(&[]);
    assert_eq!(code, Some(0), "{out}");
    let (code, out) = verify(&["--key", "kept.pub", "--checkpoint", "kept"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(
        out.contains("records 8 to 10 are missing after this one"),
        "{out}"
    );
    // Written anew, with another key.
    fs::remove_dir_all(directory.path().join("data")).expect("removed");
    let forged = audit(&path);
    forged.record(session_start("nobody"));
    forged.close().await;
    assert_eq!(verify(&[]).0, Some(0));
    assert_eq!(verify(&["--key", "kept.pub"]).0, Some(1));
}
