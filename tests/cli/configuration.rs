//! `pgvalet check`, and files that are wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::{VALID, directory, pgvalet, run, with_config};

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
        out.contains("problem: [listen] certificate: config/none.crt"),
        "{out}"
    );
    assert!(
        out.contains("problem: [listen] key: cannot read config/none.key"),
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

/// A relative path begins where the file is, from wherever a command is called.
#[test]
fn a_relative_path_begins_in_the_directory_of_its_file() {
    let directory = with_config(&format!(
        "{VALID}\n[store]\npath = \"data/store.db\"\nkey_file = \"data/store.key\"\n\
         [audit]\npath = \"data/audit.jsonl\"\n"
    ));
    let elsewhere = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("config/pgvalet.toml");
    let file = file.to_str().expect("UTF-8");
    let value = directory.path().join("value");
    fs::write(&value, r#"{"username":"u","password":"p"}"#).expect("written");
    let value = value.to_str().expect("UTF-8");
    let create = [
        "-c",
        file,
        "secret",
        "create",
        "prod/orders",
        "--file",
        value,
    ];
    let (code, _, err) = run(elsewhere.path(), &create);
    assert_eq!(code, Some(0), "{err}");
    for name in ["store.db", "store.key", "audit.cli-1.jsonl"] {
        let path = directory.path().join("config/data").join(name);
        assert!(path.exists(), "{}", path.display());
    }
    assert_eq!(fs::read_dir(elsewhere.path()).expect("read").count(), 0);
    // By a relative name of the file, too.
    let (code, out, err) = run(directory.path(), &["secret", "list"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("prod/orders"), "{out}");

    // No second store is made where the first one stands elsewhere.
    let data = directory.path().join("config/data");
    fs::rename(&data, directory.path().join("data")).expect("moved");
    let (code, _, err) = run(directory.path(), &["secret", "list"]);
    assert_eq!(code, Some(2), "{err}");
    let says = "the store is at data/store.db, and [store] path means config/data/store.db";
    assert!(err.contains(says), "{err}");
    assert!(!data.exists());
}

#[test]
fn check_shows_what_a_pattern_covers() {
    let mut text = String::new();
    for name in [
        "orders_1", "orders_2", "orders_3", "orders_4", "orders_5", "billing",
    ] {
        text += &format!("[database.{name}]\nsecret = \"prod/all\"\n");
    }
    text += "[[client]]\nname = \"all\"\nnetwork = \"10.0.0.0/8\"\n\
             databases = [\"orders_*\", \"billing\"]\n";
    let directory = with_config(&text);
    let (code, out, err) = run(directory.path(), &["check", "--offline"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let covered = "orders_* (orders_1, orders_2, orders_3, orders_4 and 1 more), billing";
    assert!(out.contains(covered), "{out}");
}

/// The same for programs, with the same exit code.
#[test]
fn check_and_get_have_json() {
    let directory = with_config(VALID);
    let json = |arguments: &[&str]| -> (Option<i32>, serde_json::Value) {
        let (code, out, err) = run(directory.path(), arguments);
        let value = serde_json::from_str(&out);
        (code, value.unwrap_or_else(|e| panic!("{e}: {out}{err}")))
    };
    let (code, value) = json(&["check", "--offline", "--json"]);
    assert_eq!(code, Some(0));
    assert_eq!(value["databases"][0]["database"], "orders");
    assert_eq!(value["rules"][0]["databases"][0], "orders");
    assert_eq!(value["logins"], serde_json::Value::Null);
    let secret = r#"{"username":"u","password":"hunter2"}"#;
    fs::write(directory.path().join("value"), secret).expect("written");
    let create = ["secret", "create", "prod/orders", "--file", "value"];
    let (_, version, _) = run(directory.path(), &create);
    // It says nowhere where the server is.
    let (code, value) = json(&["check", "--json"]);
    assert_eq!(code, Some(1));
    assert_eq!(value["logins"][0]["outcome"], "failed");
    let (code, value) = json(&["secret", "get", "prod/orders", "--json"]);
    assert_eq!(code, Some(0));
    assert_eq!(value["VersionId"], version.trim_end());
    assert_eq!(value["VersionStages"][0], "AWSCURRENT");
    assert!(!value.to_string().contains("hunter2"));
}

/// A key is made once: another one would belong to no other replica.
#[test]
fn the_key_of_a_fleet_is_made_and_never_overwritten() {
    let fleet = "[fleet]\nkey_file = \"../fleet.key\"\naddress = \"127.0.0.1:0\"\n";
    let directory = with_config(&format!("{fleet}{VALID}"));
    let path = directory.path().join("fleet.key");
    let (code, out, _) = run(directory.path(), &["check", "--offline"]);
    let out = out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("pgvalet fleet key makes one"), "{out}");
    let (code, said, wrong) = run(directory.path(), &["fleet", "key"]);
    assert_eq!(code, Some(0), "{wrong}");
    assert!(said.contains("copy it to every replica"), "{said}");
    let mode = fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let made = fs::read(&path).expect("a file");
    let (code, _, wrong) = run(directory.path(), &["fleet", "key"]);
    assert_eq!(code, Some(1));
    assert!(wrong.contains("is there already"), "{wrong}");
    assert_eq!(fs::read(&path).expect("a file"), made);
    let (code, _, wrong) = run(directory.path(), &["check", "--offline"]);
    assert!(!wrong.contains("key_file"), "{code:?}: {wrong}");

    // Elsewhere, also without a configuration.
    let empty = super::directory();
    let (code, _, wrong) = run(empty.path(), &["fleet", "key", "other.key"]);
    assert_eq!(code, Some(0), "{wrong}");
    assert!(empty.path().join("other.key").exists());
    let without = with_config(VALID);
    let (code, _, wrong) = run(without.path(), &["fleet", "key"]);
    assert_eq!(code, Some(2));
    assert!(wrong.contains("there is no [fleet]"), "{wrong}");
}

/// A freeze of last year holds nothing up.
#[test]
fn a_freeze_that_is_over_is_told_by_check() {
    let with = |freeze: &str| {
        let rotation = format!("rotation = {{ every = \"30 days\", freeze = [{freeze}] }}\n");
        let text = VALID.replace(
            "secret = \"prod/orders\"\n",
            &format!("secret = \"prod/orders\"\n{rotation}"),
        );
        let directory = with_config(&text);
        let (_, out, wrong) = run(directory.path(), &["check", "--offline"]);
        format!("{out}{wrong}")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let said = with("\"2020-12-20/2021-01-03\", \"12-20/01-03\"");
    let past = "[database.orders] rotation: the freeze 2020-12-20T00:00/2021-01-04T00:00 is over";
    assert!(said.contains(past), "{said}");
    assert!(!with("\"12-20/01-03\", \"2900-12-20/2901-01-03\"").contains("is over"));
}
