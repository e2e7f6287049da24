//! `pgvalet init`, without a server.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use crate::{directory, pgvalet, run};

/// Answers each question with a line.
fn answer(directory: &Path, arguments: &[&str], answers: &str) -> (Option<i32>, String, String) {
    let mut child = pgvalet(directory)
        .arg("init")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(answers.as_bytes()).expect("written");
    drop(input);
    let output = child.wait_with_output().expect("ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn answers_become_a_configuration_that_is_valid() {
    let directory = directory();
    let answers = "orders\ndb.example.org:5433\nshop\n\n10.1.0.0/16\n\n";
    let (code, out, err) = answer(directory.path(), &[], answers);
    assert_eq!(code, Some(0), "{out}{err}");
    let file = directory.path().join("config/pgvalet.toml");
    let text = fs::read_to_string(&file).expect("written");
    for line in [
        "[database.orders]",
        "secret = \"orders\"",
        "host = \"db.example.org\"",
        "port = 5433",
        "dbname = \"shop\"",
        "network = [\"10.1.0.0/16\"]",
    ] {
        assert!(
            text.lines().any(|l| l == line),
            "{line} is missing in\n{text}"
        );
    }
    // There is no password yet: that is the next step.
    assert!(
        out.contains("\nNext:\n  pgvalet secret create orders "),
        "{out}"
    );
    assert!(out.contains("\n  pgvalet run\n"), "{out}");
    let (code, out, err) = run(directory.path(), &["check", "--offline"]);
    assert_eq!(code, Some(0), "{out}{err}");

    // What is there stays.
    let (code, _, err) = answer(directory.path(), &[], answers);
    assert_eq!(code, Some(2), "{err}");
    assert!(
        err.contains("config/pgvalet.toml is there already; --force"),
        "{err}"
    );
    let other = answers.replace("orders", "billing");
    let (code, out, err) = answer(directory.path(), &["--force"], &other);
    assert_eq!(code, Some(0), "{out}{err}");
    let text = fs::read_to_string(&file).expect("written");
    assert!(
        text.contains("[database.billing]") && !text.contains("orders"),
        "{text}"
    );
}

#[test]
fn answers_that_end_too_soon_or_are_wrong_write_nothing() {
    let directory = directory();
    for (answers, code) in [("orders\n", 2), ("\n\n\n\nnowhere\n\n", 1)] {
        let (got, out, err) = answer(directory.path(), &[], answers);
        assert_eq!(got, Some(code), "{out}{err}");
        assert!(!directory.path().join("config").exists());
    }
}

#[test]
fn passwords_go_into_the_store_and_nowhere_else() {
    let directory = directory();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .expect("a port")
        .port();
    let ini = format!(
        "[databases]\nshop = host=127.0.0.1 port={port} user=shop password=hunter2\n[pgbouncer]\nlog_stats = 1\n"
    );
    fs::write(directory.path().join("pgbouncer.ini"), ini).expect("written");
    let init = ["init", "--from", "pgbouncer.ini", "-c", "p.toml"];
    let (code, out, err) = run(directory.path(), &init);
    // Nobody listens on that port, which is told.
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("stored the secret shop\n"), "{out}");
    assert!(out.contains("FAILED   shop: secret \"shop\""), "{out}");
    assert!(
        out.contains("- log_stats is left out: /metrics has them"),
        "{out}"
    );
    assert!(out.contains("\n  pgvalet run --config p.toml\n"), "{out}");
    let text = fs::read_to_string(directory.path().join("p.toml")).expect("written");
    assert!(!format!("{text}{out}{err}").contains("hunter2"));
    let get = ["-c", "p.toml", "secret", "get", "shop", "--reveal"];
    let (code, out, err) = run(directory.path(), &get);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(out, "{\"password\":\"hunter2\",\"username\":\"shop\"}\n");
}

#[test]
fn a_password_in_an_argument_is_refused() {
    let directory = directory();
    let url = "postgres://app:hunter2@127.0.0.1:1/app";
    let (code, out, err) = run(directory.path(), &["init", "--from", url]);
    assert_eq!(code, Some(2), "{out}{err}");
    assert!(
        err.contains("PGPASSWORD") && !err.contains("hunter2"),
        "{err}"
    );
    assert!(!directory.path().join("config").exists());
}
