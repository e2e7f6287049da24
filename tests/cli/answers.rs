//! What commands say, and about what is misspelt.

use std::fs;
use std::path::Path;

use crate::{VALID, pgvalet, run, with_config};

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
        &["store", "principal", "list"],
        &["store", "principal", "disable", "nobody"],
        &[
            "store",
            "policy",
            "simulate",
            "--principal",
            "nobody",
            "--action",
            "ListSecrets",
        ],
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

/// A value is refused that no database could use, and the field is named that has another name.
#[test]
fn a_secret_is_stored_if_a_database_can_use_it() {
    let directory = with_config(VALID);
    let store = |value: &str, more: &[&str]| {
        fs::write(directory.path().join("value"), value).expect("written");
        let create = ["secret", "create", "prod/orders", "--file", "value"];
        run(directory.path(), &[&create, more].concat())
    };
    for (value, says) in [
        (
            r#"{"user":"u","password":"p"}"#,
            r#"the JSON has "user", which pgvalet does not read; call it "username""#,
        ),
        (
            r#"{"username":"u","password":"p","database":"d"}"#,
            r#"the JSON has "database", which pgvalet does not read; call it "dbname""#,
        ),
        ("hunter2", "the value is not a JSON object"),
    ] {
        let (code, out, err) = store(value, &[]);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
        assert!(
            err.contains(says) && err.contains("--any stores it"),
            "{err}"
        );
        assert!(!err.contains("hunter2"), "{err}");
    }
    let (code, _, err) = store(
        r#"{"username":"u","password":"p","database":"d"}"#,
        &["--any"],
    );
    assert_eq!(code, Some(0), "{err}");
    // A label that it has not, with the one that was meant.
    let get = ["secret", "get", "prod/orders", "--stage", "AWSCURENT"];
    let (code, _, err) = run(directory.path(), &get);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("did you mean \"AWSCURRENT\"?"), "{err}");
}
