//! Files of PgBouncer, and what becomes of them.

use std::fs;

use super::keys::{Becomes, KEYS};
use super::*;
use crate::config;

/// The text of the configuration that these files become, and its plan.
fn made(ini: &str, users: &str) -> (String, Plan) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("pgbouncer.ini");
    fs::write(&file, ini).expect("written");
    fs::write(directory.path().join("userlist.txt"), users).expect("written");
    let hba = "host all somebody 10.7.0.0/16 scram-sha-256\n";
    fs::write(directory.path().join("hba.conf"), hba).expect("written");
    let plan = plan(&file, None).unwrap_or_else(|e| panic!("{e}\n{ini}"));
    let text = plan.text();
    config::parse(&text, "t.toml".as_ref()).unwrap_or_else(|e| panic!("{e}\n{text}"));
    (text, plan)
}

/// What else has to stand there for an example to have an effect.
fn around(key: &str) -> (&'static str, &'static str) {
    match key {
        "client_tls_ca_file" | "client_tls_sslmode" => (
            "client_tls_cert_file = /etc/tls.crt\nclient_tls_key_file = /etc/tls.key\n",
            "",
        ),
        "client_tls_cert_file" => ("client_tls_key_file = /etc/tls.key\n", ""),
        "client_tls_key_file" => ("client_tls_cert_file = /etc/tls.crt\n", ""),
        "server_tls_ca_file" => ("server_tls_sslmode = verify-full\n", ""),
        "server_tls_cert_file" => (
            "server_tls_sslmode = require\nserver_tls_key_file = /etc/c.key\n",
            "",
        ),
        "server_tls_key_file" => (
            "server_tls_sslmode = require\nserver_tls_cert_file = /etc/c.pem\n",
            "",
        ),
        "password" => ("", " user=owner"),
        "auth_hba_file" => ("auth_type = hba\n", ""),
        _ => ("", ""),
    }
}

/// Every key does what docs/FROM-PGBOUNCER.md says of it, and those that have no counterpart are
/// named.
#[test]
fn every_key_becomes_what_its_definition_says() {
    for key in KEYS {
        let (name, example) = (
            key.name,
            match &key.becomes {
                Becomes::Ours { example, .. } => *example,
                Becomes::Nothing(_) => ("1", ""),
            },
        );
        let (more, also) = around(name);
        let value = format!("{name} = {}\n", example.0);
        let pair = format!("{name}='{}'", example.0);
        let has = |section: &str| key.section == section;
        let global = if has("pgbouncer") { value.as_str() } else { "" };
        let of_database = if has("databases") { pair.as_str() } else { "" };
        let host = if name == "host" { "" } else { "host=db" };
        let others = match key.section {
            "users" => format!("[users]\nsomebody = {pair}\n"),
            "peers" => format!("[peers]\n1 = {pair}\n"),
            _ => String::new(),
        };
        let ini = format!(
            "[databases]\napp = {host} {of_database}{also}\n{others}[pgbouncer]\n{more}{global}{}",
            if name == "auth_file" {
                ""
            } else {
                "auth_file = userlist.txt\n"
            }
        );
        let (text, plan) = made(&ini, "\"somebody\" \"pw\"\n");
        let mentions = |note: &&String| note.contains(&format!("{name} is left out"));
        let noted = plan.notes.iter().any(|note| mentions(&note));
        match &key.becomes {
            Becomes::Ours { .. } => {
                let there = text.lines().any(|line| line == example.1);
                assert!(
                    there,
                    "[{}] {name}: {:?} is missing in\n{text}",
                    key.section, example.1
                );
                assert!(!noted, "{name}");
            }
            Becomes::Nothing(why) => {
                assert!(noted, "{name}: {:?}", plan.notes);
                assert!(!why.is_empty(), "{name}");
            }
        }
    }
}

#[test]
fn users_become_rules_and_passwords_secrets() {
    let ini = "[databases]\norders = host=db.example.org dbname=shop\n\
        reports = host=db2 user=reporter password='it''s'\n* = host=db\n\
        [pgbouncer]\nauth_file = userlist.txt\nadmin_users = dba\nbogus = 1\n";
    let users = "\"api\" \"pw1\"\n\"batch\" \"md5aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n";
    let (text, plan) = made(ini, users);
    for secret in ["it's", "pw1", "md5"] {
        assert!(!text.contains(secret), "{secret} in\n{text}");
    }
    let secrets: Vec<(&str, Option<&str>)> = (plan.secrets.iter())
        .map(|s| (s.name.as_str(), s.value.as_ref().map(|v| v.as_str())))
        .collect();
    assert_eq!(
        secrets,
        [
            ("api", Some(r#"{"password":"pw1","username":"api"}"#)),
            (
                "reports",
                Some(r#"{"password":"it's","username":"reporter"}"#)
            ),
            ("batch", None),
        ]
    );
    let config = config::parse(&text, "t.toml".as_ref()).unwrap_or_else(|e| panic!("{e}"));
    let rules: Vec<(&str, Vec<&str>, Option<&str>)> = (config.clients.iter())
        .map(|rule| {
            let databases = rule.databases.iter().map(AsRef::as_ref).collect();
            let secret = rule.secret.as_ref().map(|s| s.as_str());
            (&*rule.name, databases, secret)
        })
        .collect();
    assert_eq!(
        rules,
        [
            ("dba", vec![], None),
            ("api", vec!["orders"], Some("api")),
            ("api", vec!["reports"], None),
            ("batch", vec!["orders"], Some("batch")),
            ("batch", vec!["reports"], None),
        ]
    );
    let noted = |part: &str| plan.notes.iter().any(|note| note.contains(part));
    assert!(noted("There is no database *"), "{:?}", plan.notes);
    assert!(noted("bogus is left out: PgBouncer 1.25 has no such key"));
}

/// Who may come from where is in auth_hba_file, if that is asked.
#[test]
fn lines_of_the_hba_file_become_networks() {
    let ini = |kind: &str| {
        format!(
            "[databases]\norders = host=db\nreports = host=db\n[pgbouncer]\n\
             auth_file = userlist.txt\nauth_type = {kind}\nauth_hba_file = hba.conf\n"
        )
    };
    let users = "\"somebody\" \"pw\"\n\"other\" \"pw\"\n";
    let (text, plan) = made(&ini("hba"), users);
    let config = config::parse(&text, "t.toml".as_ref()).unwrap_or_else(|e| panic!("{e}"));
    let rules: Vec<&str> = config.clients.iter().map(|rule| &*rule.name).collect();
    assert_eq!(rules, ["somebody"], "{text}");
    let noted = |plan: &Plan, part: &str| plan.notes.iter().any(|note| note.contains(part));
    assert!(
        noted(&plan, "No rule lets other into orders"),
        "{:?}",
        plan.notes
    );
    let (text, plan) = made(&ini("md5"), users);
    assert!(!text.contains("10.7.0.0"), "{text}");
    assert!(
        noted(&plan, "auth_hba_file is left out"),
        "{:?}",
        plan.notes
    );
}

/// Without users, there is one rule, and the password is asked for later.
#[test]
fn an_ini_alone_is_enough() {
    let (text, plan) = made("[databases]\napp =\n[pgbouncer]\nlisten_addr = *\n", "");
    assert!(text.contains("host = \"/tmp\""), "{text}");
    assert!(text.contains("address = [\"0.0.0.0:6432\"]"), "{text}");
    assert!(plan.secrets.iter().all(|s| s.value.is_none()));
    assert!(text.contains("name = \"local\""), "{text}");
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("p.ini");
    for (ini, says) in [
        ("[pgbouncer]\n", "has no [databases]"),
        ("[databases]\nhunter2\n", "p.ini:2: a = is missing"),
        (
            "[databases]\napp = password='hunter2\n",
            "app: a ' is missing",
        ),
        ("[databases]\n* = host=db\n", "only the database *"),
        ("x = 1\n", "p.ini:1: this stands before the first section"),
        ("%include p.ini\n", "too deeply"),
        ("%include nowhere.ini\n", "nowhere.ini cannot be read"),
    ] {
        fs::write(&file, ini).expect("written");
        let said = plan(&file, None).err().expect("refused").to_string();
        assert!(said.contains(says), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

/// What becomes nothing, or something else, is named, and stops nothing.
#[test]
fn odd_values_and_names_are_named_and_stop_nothing() {
    let ini = "[databases]\norders = host=db port=70000 pool_mode=sometimes user=alice\n\
        \"Up per\" = host=db\n[pgbouncer]\nauth_file = userlist.txt\nserver_lifetime = 0\n\
        server_idle_timeout = 0\nquery_timeout = abc\nmax_client_conn = lots\nlisten_port = 0\n\
        client_tls_sslmode = require\nquery_wait_timeout = 0\n";
    let (text, plan) = made(
        ini,
        "\"alice\" \"one\"\n\"bob smith\" \"two\"\n\"bob_smith\" \"three\"\n",
    );
    let notes = plan.notes.join("\n");
    for named in [
        "orders: port = 70000: it is no port",
        "orders: pool_mode = sometimes: there is no such mode",
        "server_lifetime = 0: there each connection is used once",
        "server_idle_timeout = 0: there idle connections stay",
        "query_timeout = abc: it is no time",
        "max_client_conn = lots: it is no number",
        "listen_port = 0: it is no port",
        "client_tls_sslmode = require: there is no client_tls_cert_file",
    ] {
        assert!(notes.contains(named), "{named}: {notes}");
    }
    assert!(!notes.contains("query_wait_timeout"), "{notes}");
    assert!(text.contains("[database.\"Up per\"]"), "{text}");
    let names: Vec<&str> = plan.secrets.iter().map(|s| &*s.name).collect();
    assert!(
        names.contains(&"bob_smith") && names.contains(&"bob_smith-2"),
        "{names:?}"
    );
}
