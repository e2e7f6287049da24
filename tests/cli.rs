//! The program as scripts see it: arguments, output, exit codes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use pgvalet::audit::{
    Audit, AuditSink, ClientRef, CredentialRef, OnAuditFailure, Options, Record, ServerRef,
    SessionRef, SessionTotals,
};
use pgvalet::metrics::Metrics;

fn pgvalet(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgvalet"));
    command
        .current_dir(directory)
        .env_remove("PGVALET_LOG")
        .env_remove("PGVALET_CONFIG")
        .env_remove("PGVALET_LOG_FORMAT");
    command
}

fn run(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output: Output = pgvalet(directory).args(arguments).output().expect("runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

const VALID: &str = r#"
[database.orders]
secret = "prod/orders"

[[client]]
name = "orders-api"
network = ["10.0.0.0/8"]
databases = ["orders"]
"#;

fn with_config(text: &str) -> tempfile::TempDir {
    let directory = directory();
    fs::create_dir(directory.path().join("config")).expect("made");
    fs::write(directory.path().join("config/pgvalet.toml"), text).expect("written");
    directory
}

#[test]
fn a_valid_configuration_is_summed_up() {
    let directory = with_config(VALID);
    let (code, out, err) = run(directory.path(), &["check", "--offline"]);
    assert_eq!(code, Some(0), "{out}{err}");
    for part in [
        "config/pgvalet.toml is valid",
        "127.0.0.1:6432 (TLS off)",
        "prod/orders",
        "network 10.0.0.0/8",
    ] {
        assert!(out.contains(part), "{part:?} is missing in:\n{out}");
    }
    assert_eq!(err, "");
}

#[test]
fn the_example_passes() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/config/pgvalet.toml");
    let directory = directory();
    let (code, out, err) = run(
        directory.path(),
        &["--config", example, "check", "--offline"],
    );
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(
        !out.contains("warning") && !out.contains("problem"),
        "{out}"
    );
}

#[test]
fn a_wrong_configuration_is_exit_code_2_with_places_and_remedies() {
    let cases = [
        ("[listen\n", "config/pgvalet.toml:1:", "this is not TOML"),
        (
            "[listen]\nadress = \"h:1\"\n",
            "config/pgvalet.toml:2:1: ",
            "unknown key \"adress\" in [listen]; did you mean \"address\"?",
        ),
        (
            "[store]\nrefresh = \"soon\"\n",
            "config/pgvalet.toml:2:11: ",
            "refresh: \"soon\" is no duration",
        ),
    ];
    for (text, place, message) in cases {
        let directory = with_config(&format!("{text}{VALID}"));
        let (code, out, err) = run(directory.path(), &["check", "--offline"]);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
        assert!(err.contains(place) && err.contains(message), "{err}");
    }
}

#[test]
fn a_missing_configuration_is_one_sentence_and_exit_code_2() {
    let directory = directory();
    for arguments in [
        ["check", "--offline"],
        ["status", "--json"],
        ["audit", "verify"],
    ] {
        let (code, out, err) = run(directory.path(), &arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
        assert!(
            err.contains("there is no configuration file config/pgvalet.toml"),
            "{err}"
        );
        assert_eq!(err.lines().count(), 1);
    }
}

#[test]
fn a_file_that_cannot_be_used_is_exit_code_1() {
    let listen = "[listen]\ncertificate = \"none.crt\"\nkey = \"none.key\"\n";
    let directory = with_config(&format!("{listen}{VALID}"));
    let (code, out, _) = run(directory.path(), &["check", "--offline"]);
    assert_eq!(code, Some(1));
    assert!(
        out.contains("problem: [listen] certificate: none.crt"),
        "{out}"
    );
    assert!(
        out.contains("problem: [listen] key: cannot read none.key"),
        "{out}"
    );
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let directory = with_config(VALID);
    let wrong: [&[&str]; 4] = [
        &[],
        &["chek"],
        &["check", "--ofline"],
        &["audit", "query", "--since", "yesterday"],
    ];
    for arguments in wrong {
        let (code, _, err) = run(directory.path(), arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {err}");
    }
    let output = pgvalet(directory.path())
        .args(["check", "--offline"])
        .env("PGVALET_LOG_FORMAT", "xml")
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn help_and_version_are_exit_code_0() {
    let directory = directory();
    for arguments in [["--help"].as_slice(), &["audit", "query", "--help"]] {
        let (code, out, _) = run(directory.path(), arguments);
        assert_eq!(code, Some(0));
        assert!(out.contains("Example"), "{out}");
    }
    let (code, out, _) = run(directory.path(), &["--version"]);
    assert_eq!(
        (code, out),
        (Some(0), format!("pgvalet {}\n", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn a_proxy_that_does_not_run_is_one_sentence() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .expect("a port")
        .port();
    let directory = with_config(&format!("[admin]\naddress = \"127.0.0.1:{port}\"\n{VALID}"));
    let (code, out, err) = run(directory.path(), &["status"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("is pgvalet running"), "{err}");
    assert_eq!(err.lines().count(), 1);
}

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
async fn with_log() -> (tempfile::TempDir, PathBuf) {
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
    // Whoever reads only the beginning is not punished.
    let mut child = pgvalet(directory.path())
        .args(["audit", "query"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("runs");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("ended").code(), Some(0));
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
        .record_durably(Record::reload())
        .await
        .expect("written");
    assert_eq!(seq(), Some(8));
    fs::rename(&path, directory.path().join("data/audit.jsonl.1")).expect("renamed");
    // The log is looked for at its path once a second: until then it goes on
    // in the old file, and nothing is lost either way.
    let mut written = 8;
    while !path.exists() {
        audit
            .record_durably(Record::reload())
            .await
            .expect("written");
        written += 1 + u64::from(path.exists()); // the new file begins with a record of its own
        assert_eq!(seq(), Some(written));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
}

#[test]
fn a_file_that_explain_cannot_read_is_named() {
    let directory = with_config(VALID);
    for (option, what) in [("--certificate", "certificate"), ("--token", "token")] {
        let arguments = ["explain", "--database", "orders", "--from", "10.0.0.1"];
        let arguments = [&arguments[..], &[option, "nope.pem"]].concat();
        let (code, out, err) = run(directory.path(), &arguments);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        assert!(
            err.contains(&format!("the {what} nope.pem cannot be read: ")),
            "{err}"
        );
    }
}

/// Rules of one kind are named together, and those with a stronger condition not at all.
#[test]
fn check_names_the_rules_that_let_in_by_the_address_alone() {
    let rule = |name: &str, condition: &str| {
        format!("[[client]]\nname = \"{name}\"\ndatabases = [\"orders\"]\n{condition}\n")
    };
    let loopback = "network = [\"127.0.0.0/8\"]";
    let token = "token = { issuer = \"https://i\", audience = \"a\", jwks_file = \"f\" }";
    let mut text = "[database.orders]\nsecret = \"prod/orders\"\n".to_owned();
    text += &rule("by token", token);
    text += &rule("a", loopback);
    let notes = |text: &str| {
        let directory = with_config(text);
        let (_, out, err) = run(directory.path(), &["check", "--offline"]);
        assert!(out.contains("is valid"), "{out}{err}");
        let notes = out.lines().filter(|line| line.starts_with("note: "));
        notes.map(str::to_owned).collect::<Vec<_>>()
    };
    let one = notes(&text);
    assert_eq!(one.len(), 1, "{one:?}");
    assert!(
        one[0].starts_with("note: rule 2 lets in every user"),
        "{one:?}"
    );
    text += &rule("b", &format!("{loopback}\nusers = [\"b\"]"));
    text += &rule("c", &format!("{loopback}\nusers = [\"c\"]"));
    text += &rule("d", "network = [\"10.0.0.1\"]");
    text += &rule("e", "network = [\"10.0.0.2\"]");
    let several = notes(&text);
    assert_eq!(several.len(), 2, "{several:?}");
    assert!(
        several[0].starts_with("note: rules 2, 3 and 4 let in every user"),
        "{several:?}"
    );
    assert!(
        several[1].starts_with("note: rules 5 and 6 know clients of other machines"),
        "{several:?}"
    );
}

/// A login that fails is told with the secret and the version, as one that works.
#[test]
fn check_says_which_secret_and_version_failed() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .expect("a port")
        .port();
    let directory = with_config(&format!(
        "{VALID}\n[database.missing]\nsecret = \"prod/missing\"\n"
    ));
    let value = format!(
        r#"{{"username":"u","password":"p","host":"127.0.0.1","port":{port},"dbname":"d"}}"#
    );
    fs::write(directory.path().join("value"), value).expect("written");
    let create = ["secret", "create", "prod/orders", "--file", "value"];
    let (code, version, err) = run(directory.path(), &create);
    assert_eq!(code, Some(0), "{err}");
    let (code, out, _) = run(directory.path(), &["check"]);
    assert_eq!(code, Some(1), "{out}");
    let expected = format!(
        "FAILED   orders: secret \"prod/orders\", version {}: ",
        version.trim_end()
    );
    assert!(out.contains(&expected), "{out}");
    assert!(
        out.contains("FAILED   missing: secret \"prod/missing\": "),
        "{out}"
    );
}

#[test]
fn the_environment_names_the_configuration_and_a_wrong_log_level_is_an_error() {
    let directory = with_config(VALID);
    let moved = directory.path().join("elsewhere.toml");
    fs::rename(directory.path().join("config/pgvalet.toml"), &moved).expect("moved");
    let check = |variable: &str, value: &Path, arguments: &[&str]| {
        let mut command = pgvalet(directory.path());
        let output = command.env(variable, value).args(arguments).output();
        let output = output.expect("runs");
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), err)
    };
    let offline = ["check", "--offline"];
    let (code, err) = check("PGVALET_CONFIG", &moved, &offline);
    assert_eq!(code, Some(0), "{err}");
    // What is said wins.
    let other = ["-c", "nowhere.toml", "check", "--offline"];
    let (code, err) = check("PGVALET_CONFIG", &moved, &other);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("nowhere.toml"), "{err}");

    let short = ["-c", "elsewhere.toml", "check", "--offline"];
    let (code, err) = check("PGVALET_LOG", Path::new("verbose"), &short);
    assert_eq!(code, Some(2), "{err}");
    assert!(
        err.contains("write error, warn, info, debug or trace"),
        "{err}"
    );
    let (code, err) = check("PGVALET_LOG", Path::new("debug"), &short);
    assert_eq!(code, Some(0), "{err}");
}

#[test]
fn a_command_that_reads_makes_no_store_and_no_key() {
    let directory = with_config(VALID);
    for arguments in [
        &["secret", "list"][..],
        &["secret", "get", "prod/orders"],
        &["secret", "describe", "prod/orders"],
        &["rotate", "prod/orders", "--dry-run"],
        &["check"],
    ] {
        let (code, _, err) = run(directory.path(), arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {err}");
        assert!(
            err.contains("there is no store at data/store.db yet"),
            "{err}"
        );
    }
    assert!(!directory.path().join("data").exists());
}

#[test]
fn what_is_misspelt_is_an_error_with_the_nearest() {
    let directory = with_config(VALID);
    let query = ["audit", "query", "--event", "sesion.start"];
    let (code, out, err) = run(directory.path(), &query);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    assert!(err.contains("did you mean \"session.start\""), "{err}");
    // An address as a log line shows it.
    let explain = |database: &str| {
        let arguments = ["explain", "--database", database, "--user", "u"];
        run(
            directory.path(),
            &[&arguments[..], &["--from", "10.0.0.1:5000"]].concat(),
        )
    };
    let (code, out, err) = explain("orders");
    assert_eq!(code, Some(0), "{out}{err}");
    let (code, out, _) = explain("order");
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("did you mean database \"orders\"?"), "{out}");
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

/// Help says what a command does.
#[test]
fn the_help_of_policies_and_principals_says_what_they_do() {
    let directory = directory();
    for (arguments, parts) in [
        (
            ["secret", "policy", "--help"],
            ["Check a policy without attaching it", "Remove the policy"],
        ),
        (
            ["store", "principal", "--help"],
            [
                "prints its access key; it is not shown again",
                "Stop accepting its keys",
            ],
        ),
    ] {
        let (_, out, _) = run(directory.path(), &arguments);
        for part in parts {
            assert!(out.contains(part), "{part:?} is missing in:\n{out}");
        }
    }
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    let directory = directory();
    let (_, help, _) = run(directory.path(), &["--help"]);
    let (_, commands) = help.split_once("Commands:").expect("commands");
    let (commands, _) = commands.split_once("Options:").expect("options");
    let commands: Vec<&str> = commands
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.contains(&"run") && commands.contains(&"config"));
    for shell in ["bash", "fish", "zsh"] {
        let (code, out, err) = run(directory.path(), &["completions", shell]);
        assert_eq!(code, Some(0), "{err}");
        for command in &commands {
            assert!(out.contains(command), "{shell}: no {command}");
        }
    }
    let (code, _, err) = run(directory.path(), &["man", "--directory", "man1"]);
    assert_eq!(code, Some(0), "{err}");
    for command in &commands {
        let page = directory.path().join(format!("man1/pgvalet-{command}.1"));
        let page = fs::read_to_string(page).unwrap_or_else(|e| panic!("{command}: {e}"));
        assert!(page.contains(".SH EXAMPLES"), "{command}: no example");
    }
    assert!(
        directory
            .path()
            .join("man1/pgvalet-secret-create.1")
            .exists()
    );
    assert!(!directory.path().join("man1/pgvalet-help.1").exists());
    let (code, out, _) = run(directory.path(), &["man"]);
    assert!(code == Some(0) && out.contains(".TH pgvalet 1"), "{out}");
}

#[test]
fn the_schema_of_the_configuration_needs_no_configuration() {
    let directory = directory();
    let (code, out, err) = run(directory.path(), &["config", "schema"]);
    assert_eq!(code, Some(0), "{err}");
    let schema: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert!(schema["properties"]["database"].is_object(), "{out}");
}
