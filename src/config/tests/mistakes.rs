//! What is said of a file that is wrong.

use proptest::prelude::*;

use super::*;

#[test]
fn unknown_keys_have_their_place_and_the_nearest_known_one() {
    says(
        &format!("[listen]\nadress = []\n{MINIMAL}"),
        &["t.toml:2:1: unknown key \"adress\" in [listen]; did you mean \"address\"?"],
    );
    says(
        &with_database("  pool_sise = 3"),
        &[":5:3: unknown key \"pool_sise\" in [database.orders]; did you mean \"pool_size\"?"],
    );
    says(
        &format!("{MINIMAL}[audti]\n"),
        &[":9:2: unknown table \"audti\"; did you mean \"audit\"?"],
    );
    says(
        &format!("{MINIMAL}certificat = \"cn:a\"\n"),
        &["unknown key \"certificat\" in [[client]]; did you mean \"certificate\"?"],
    );
}

/// The list of known keys has every key, the most similar one first.
#[test]
fn an_unknown_key_is_answered_with_those_that_there_are() {
    says(
        &with_database("rotatoin = {}"),
        &["did you mean \"rotation\"?"],
    );
    let rule = |key: &str| format!("{MINIMAL}{key} = 1\n");
    says(&rule("tokens"), &["did you mean \"token\"?"]);
    says(&rule("aws_role"), &["; there are aws_iam, ", "token"]);
    says(
        &with_database("statement_timeout = \"1s\""),
        &[
            "there are connect_timeout, drain_timeout, ",
            "rotation",
            "session_migration",
        ],
    );
}

/// A password in the file is answered with where it belongs, not with the keys that there are.
#[test]
fn credentials_do_not_belong_in_the_file() {
    for key in ["password", "user", "username"] {
        let message = wrong(&with_database(&format!("{key} = \"x\"")));
        let expected = format!(
            "unknown key \"{key}\" in [database.orders]; credentials belong in the secret: pgvalet secret create NAME"
        );
        assert!(message.ends_with(&expected), "{message}");
    }
}

#[test]
fn a_table_or_key_that_is_there_twice() {
    says(
        &format!("{MINIMAL}\n[database.orders]\nsecret = \"s\"\n"),
        &["t.toml:10:11: [database.orders] is there twice (lines 2 and 10); keep one of them"],
    );
    says(
        &with_database("pool_size = 1\npool_size = 2"),
        &["t.toml:6:1: pool_size in [database.orders] is there twice (lines 5 and 6)"],
    );
}

#[test]
fn all_mistakes_are_shown_at_once_in_order() {
    let message = wrong(
        "[listen]\nmax_clients = 0\nhandshake_timeout = 5\n[database.a]\npool_size = 0\n\
         [[client]]\nnetwork = [\"10.0.0.0/8\", \"10.0.0.1/8\", 7]\ndatabases = [\"b\"]\n",
    );
    let starts: Vec<&str> = message
        .lines()
        .map(|l| {
            l.strip_prefix("t.toml:")
                .and_then(|l| l.split(':').next())
                .unwrap_or(l)
        })
        .collect();
    assert_eq!(
        starts,
        ["2", "3", "4", "5", "6", "7", "7", "8"],
        "{message}"
    );
    for part in [
        "2:15: max_clients: 0 is out of range; write 1 to 1000000",
        "3:21: handshake_timeout: write text in quotes here, not a number",
        "[database.a]: there is no secret; add secret",
        "[[client]]: there is no name",
        "7:26: network: \"10.0.0.1/8\" has bits set beyond its prefix",
        "there is no [database.b]; there are a",
    ] {
        assert!(message.contains(part), "{part:?} is missing in:\n{message}");
    }
}

#[test]
fn what_is_not_toml() {
    says("[listen\n", &["t.toml:1:", "this is not TOML"]);
    says(
        "a = 1\na = 2\n",
        &["t.toml:2:1: a is there twice (lines 1 and 2); keep one of them"],
    );
    says(
        "",
        &["t.toml:1:1: there is no database; add a table [database.NAME]"],
    );
    says("database = 1", &["database is a table; write [database]"]);
    says(
        "[database]\nsecret = \"a\"",
        &["secret stands directly in [database]; write [database.NAME]"],
    );
    says(
        "[client]\nname = \"a\"",
        &["client is a list of tables; write [[client]]"],
    );
}

#[test]
fn a_file_that_is_not_there() {
    let e = load(Path::new("/nonexistent/p.toml"))
        .expect_err("missing")
        .to_string();
    assert!(
        e.contains("there is no configuration file /nonexistent/p.toml"),
        "{e}"
    );
    let e = load(Path::new("/")).expect_err("a directory").to_string();
    assert!(e.contains("cannot be read"), "{e}");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(?s).*") {
        if let Err(e) = read(&text) {
            prop_assert!(!e.problems.is_empty());
        }
    }

    /// Text that gets past the parser more often.
    #[test]
    fn any_value_of_any_key_is_read_or_refused(
        section in "(listen|admin|store|audit|database|database.a|\\[client\\])",
        key in "(address|tls|kind|path|secret|port|pool_size|network|unix_user|databases|refresh|name)",
        value in "(\\[?(\"[a-z0-9:/.]{0,12}\"|-?[0-9]{1,25}|true|0x[0-9a-f]+|1e5|\\{\\}|1979-05-27)\\]?)",
    ) {
        if let Err(e) = read(&format!("[{section}]\n{key} = {value}\n")) {
            prop_assert!(!e.problems.is_empty());
        }
    }
}
