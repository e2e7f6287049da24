//! Exit codes: the table in docs/OPERATIONS.md.

use std::io::pipe;
use std::process::Stdio;

use crate::log::with_log;
use crate::{directory, pgvalet, run};

/// `| head`: what nobody has read to its end has not succeeded, and says nothing more.
#[tokio::test]
async fn a_command_whose_output_nobody_reads_does_not_succeed() {
    let (logged, path) = with_log().await;
    let postgres = logged.path().join("postgres.json");
    let line = r#"{"timestamp":"2026-01-02 03:04:00.990 UTC","pid":10,"user":"app","message":"statement: select 1"}"#;
    std::fs::write(&postgres, line).expect("written");
    std::fs::write(logged.path().join("value"), "{}").expect("written");
    let create = ["secret", "create", "a", "--any", "--file", "value"];
    let (code, _, err) = run(logged.path(), &create);
    assert_eq!(code, Some(0), "{err}");
    let unread = |arguments: &[&str]| {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let output = pgvalet(logged.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(writer)
            .output()
            .expect("runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(141), "{arguments:?}: {said}");
        assert_eq!(said, "", "{arguments:?}");
    };
    for arguments in [
        &["audit", "verify"][..],
        &["audit", "verify", "--json"],
        &["audit", "query"],
        &["audit", "query", "--json"],
        &["audit", "report"],
        &["audit", "report", "--json"],
        &["audit", "tail"],
        &["audit", "tail", "--json"],
        &["audit", "prove", "2"],
        &[
            "audit",
            "who",
            "--version",
            "v1",
            "--between",
            "2026-01-01",
            "2099-01-01",
        ],
        &["audit", "compliance"],
        &["audit", "compliance", "--format", "json"],
        &["audit", "compliance", "--format", "html"],
        &["audit", "reconcile", "--postgres-log", "postgres.json"],
        &["check", "--offline"],
        &["check", "--offline", "--json"],
        &["explain", "--database", "orders", "--from", "10.0.0.1"],
        &["secret", "list"],
        &["secret", "list", "--json"],
        &["secret", "describe", "a"],
        &["secret", "get", "a"],
        &["secret", "get", "a", "--reveal"],
        &["secret", "random"],
        &["secret", "put", "a", "--any", "--file", "value"],
        &["store", "principal", "list"],
        &["rotate", "--dry-run"],
        &["config", "schema"],
        &["completions", "bash"],
        &["man"],
        &["--help"],
        &["--version"],
        &["help", "audit"],
    ] {
        unread(arguments);
    }
    // What is wrong with the log is not hidden by that.
    let text = std::fs::read_to_string(&path).expect("read");
    std::fs::write(&path, text.replacen("reports", "nobody!", 1)).expect("written");
    unread(&["audit", "verify"]);
}

/// The name of something that there is not has to be written differently, whatever the command.
#[tokio::test]
async fn a_name_that_there_is_not_is_wrong_usage() {
    let (logged, _) = with_log().await;
    std::fs::write(logged.path().join("value"), "{}").expect("written");
    let create = ["secret", "create", "a", "--any", "--file", "value"];
    let (code, version, err) = run(logged.path(), &create);
    assert_eq!(code, Some(0), "{err}");
    let version = version.trim();
    for arguments in [
        &["secret", "get", "none"][..],
        &["secret", "get", "a", "--stage", "NONE"],
        &["secret", "get", "a", "--version", "ffffffff"],
        &["secret", "describe", "none"],
        &["secret", "put", "none", "--any", "--file", "value"],
        &["secret", "stage", "none", "AWSCURRENT", "--to", version],
        &["secret", "stage", "a", "AWSCURRENT", "--to", "ffffffff"],
        &["secret", "delete", "none"],
        &["secret", "restore", "none"],
        &["secret", "list", "--store", "none"],
        &["store", "principal", "disable", "none"],
        &["store", "principal", "rotate-key", "none"],
        &["rotate", "none"],
        &["rotate", "none", "--dry-run"],
        &["audit", "query", "--client", "none"],
        &["audit", "query", "--database", "none"],
        &["audit", "query", "--event", "none"],
        &["audit", "report", "--secret", "none"],
        &["audit", "report", "--client", "none"],
        &[
            "audit",
            "who",
            "--version",
            "none",
            "--between",
            "2026-01-01",
            "2099-01-01",
        ],
        &["audit", "prove", "0"],
        &[
            "explain",
            "--database",
            "orders",
            "--unix-user",
            "no-such-user",
        ],
    ] {
        let (code, out, err) = run(logged.path(), arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}: {err}");
        assert_ne!(err, "", "{arguments:?}");
    }
    // A client that asks for a database that there is not is denied: that is the answer.
    let asks = ["explain", "--database", "none", "--from", "10.0.0.1"];
    let (code, out, _) = run(logged.path(), &asks);
    assert_eq!(code, Some(1), "{out}");
}

#[test]
fn no_proxy_and_no_configuration() {
    let directory = directory();
    let (code, _, err) = run(directory.path(), &["status"]);
    assert_eq!(code, Some(2), "{err}");
    let directory = crate::with_config(&format!(
        "[admin]\naddress = \"127.0.0.1:1\"\n{}",
        crate::VALID
    ));
    for command in [
        &["status"][..],
        &["health"],
        &["clients"],
        &["pause", "orders"],
        &["refresh"],
        &["kill", "--id", "1"],
        &["rotation", "approve", "prod/orders"],
        &["explain", "--ref", "7f3a"],
        &["upgrade"],
    ] {
        let (code, _, err) = run(directory.path(), command);
        assert_eq!(code, Some(1), "{command:?}: {err}");
        assert!(err.contains("no proxy answers"), "{command:?}: {err}");
    }
}
