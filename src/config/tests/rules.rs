//! Who may connect: conditions, patterns, certificates, times.

use super::*;
use crate::access::{CertificateName, IdentityKind};

#[test]
fn rules_need_a_condition_and_a_database_that_exists() {
    let rule = |keys: &str| format!("[database.orders]\nsecret = \"s\"\n[[client]]\n{keys}");
    says(
        &rule("name = \"a\"\ndatabases = [\"orders\"]"),
        &["nothing says how to recognise"],
    );
    says(
        &rule("name = \"a\"\nnetwork = []\ndatabases = [\"orders\"]"),
        &["the list is empty"],
    );
    says(
        &rule("name = \"a\"\nnetwork = \"::1\"\ndatabases = []"),
        &["the list is empty"],
    );
    says(
        &rule("name = \"a\"\nnetwork = \"::1\""),
        &["there are no databases"],
    );
    says(
        &rule("name = \"a\"\nnetwork = \"::1\"\ndatabases = [\"order\"]"),
        &["6:14: databases: there is no [database.order]; did you mean \"orders\"?"],
    );
    let user = |value: &str| {
        rule(&format!(
            "name = \"a\"\ndatabases = \"orders\"\nunix_user = {value}"
        ))
    };
    let unix_user = |value: &str| {
        let rule = valid(&user(value)).clients[0].clone();
        rule.identity.unix_user.clone().map(|user| user.0)
    };
    assert_eq!(unix_user("1000"), Some(UserRef::Uid(1000)));
    assert_eq!(unix_user("0x10"), Some(UserRef::Uid(16)));
    assert_eq!(unix_user("\"app\""), Some(UserRef::Name("app".into())));
    for bad in ["\"1000\"", "-1", "4294967296", "true", "\"\""] {
        says(&user(bad), &["unix_user: "]);
    }
    // The same name in several rules is one identity recognised in several ways.
    let two = format!(
        "{MINIMAL}[[client]]\nname = \"orders-api\"\nunix_user = \"api\"\ndatabases = [\"orders\"]\n"
    );
    assert_eq!(valid(&two).clients[1].number, 2);
}

/// The keys that an error lists come from the kinds of identity, whatever the file
/// has of them.
#[test]
fn every_kind_of_identity_is_a_known_key() {
    let rule = |key: &str| {
        format!("{MINIMAL}[[client]]\nname = \"a\"\ndatabases = \"orders\"\n{key} = 1\n")
    };
    let message = wrong(&rule("zzzzzzzzzzzz"));
    let (_, listed) = message
        .split_once("unknown key \"zzzzzzzzzzzz\" in [[client]]; there are ")
        .unwrap_or_else(|| panic!("{message}"));
    let listed = listed.lines().next().unwrap_or_default();
    let listed: Vec<&str> = listed.split(", ").collect();
    for kind in IdentityKind::ALL {
        assert!(listed.contains(&kind.key()), "{kind:?}: {listed:?}");
        says(&rule("zzzzzzzzzzzz"), &["nothing says how", kind.key()]);
        let typo = format!("{}x", kind.key());
        says(&rule(&typo), &[&format!("did you mean {:?}?", kind.key())]);
    }
}

#[test]
fn databases_by_pattern() {
    let granted = |pattern: &str| {
        let text = format!(
            "[database.orders_eu]\nsecret = \"s\"\n[database.orders_us]\nsecret = \"s\"\n\
             [database.stock]\nsecret = \"s\"\n[[client]]\nname = \"a\"\nnetwork = \"::1\"\n\
             databases = {pattern}"
        );
        read(&text).map(|c| {
            let names: Vec<String> = c.clients[0]
                .databases
                .iter()
                .map(ToString::to_string)
                .collect();
            names.join(" ")
        })
    };
    for (pattern, databases) in [
        ("\"*\"", "orders_eu orders_us stock"),
        ("\"orders_*\"", "orders_eu orders_us"),
        ("\"*_us\"", "orders_us"),
        ("\"*d*s_*u*\"", "orders_eu orders_us"),
        ("\"orders_eu*\"", "orders_eu"),
        ("[\"stock\", \"*\"]", "stock orders_eu orders_us"),
    ] {
        assert_eq!(
            granted(pattern).unwrap_or_else(|e| panic!("{e}")),
            databases,
            "{pattern}"
        );
    }
    for (pattern, wrong) in [
        ("\"x*\"", "\"x*\" matches no database"),
        ("\"stock*k\"", "matches no database"),
        ("\"stoc\"", "did you mean \"stock\"?"),
    ] {
        let e = granted(pattern).expect_err(pattern).to_string();
        assert!(e.contains(wrong), "{e}");
    }
}

#[test]
fn rules_with_certificates_and_times() {
    let rule = |listen: &str, keys: &str| {
        format!(
            "[listen]\n{listen}\n[database.orders]\nsecret = \"s\"\n\
             [[client]]\nname = \"a\"\ndatabases = \"orders\"\n{keys}"
        )
    };
    let tls = "certificate = \"c\"\nkey = \"k\"\nclient_ca = \"ca\"\n";
    let names = |text: &str| {
        let rule = valid(&rule(tls, text)).clients[0].clone();
        rule.identity.certificate.clone().map(|names| names.0)
    };
    assert_eq!(
        names("certificate = [\"spiffe://example.org/orders\", \"dns:API.example\", \"cn:a: b\"]"),
        Some(vec![
            CertificateName::Uri("spiffe://example.org/orders".into()),
            CertificateName::Dns("api.example".into()),
            CertificateName::CommonName("a: b".into()),
        ])
    );
    for bad in [
        "orders",
        "dns:",
        "dns:*.example",
        "cn:",
        "://x",
        "email:a@b",
    ] {
        says(
            &rule(tls, &format!("certificate = {bad:?}")),
            &["certificate: ", "names no certificate"],
        );
    }
    says(&rule("", "certificate = \"cn:a\""), &["add client_ca"]);
    says(
        &rule("client_ca = \"f\"", "network = \"::1\""),
        &["client_ca needs TLS"],
    );
    says(
        &rule("client_crl = \"f\"", "network = \"::1\""),
        &["client_crl needs the CA"],
    );

    let period = |text: &str| rule("", &format!("network = \"::1\"\nvalid = {text}"));
    let shown = |text: &str| {
        valid(&period(text)).clients[0]
            .valid
            .as_ref()
            .map(ToString::to_string)
    };
    assert_eq!(
        shown("{ from = \"08:00\", until = \"18:00\" }").as_deref(),
        Some("daily from 08:00:00 until 18:00:00 UTC")
    );
    for text in [
        "{ until = \"2026-01-01T01:00:00+01:00\" }",
        "{ until = 2026-01-01T00:00:00Z }",
    ] {
        assert_eq!(shown(text).as_deref(), Some("until 2026-01-01T00:00:00Z"));
    }
    for (text, says_) in [
        ("\"08:00\"", "this is no period"),
        ("{ from = \"08:00\" }", "needs both times"),
        ("{ from = \"08:00\", until = \"08:00\" }", "the same time"),
        ("{ from = \"8 o'clock\" }", "is no time"),
        ("{ till = \"08:00\" }", "unknown key \"till\""),
        (
            "{ from = \"2026-01-02T00:00:00Z\", until = \"2026-01-01T00:00:00Z\" }",
            "not after from",
        ),
    ] {
        says(&period(text), &["valid: ", says_]);
    }
}

/// An open proxy is asked for in so many words, or not to be had.
#[test]
fn everybody_is_let_in_only_on_demand() {
    let open = |listen: &str, rule: &str| {
        format!(
            "[listen]\n{listen}\n[database.orders]\nsecret = \"s\"\n\
             [[client]]\nname = \"a\"\ndatabases = \"orders\"\n{rule}"
        )
    };
    let (wide, all) = ("address = \"0.0.0.0:6432\"", "network = \"0.0.0.0/0\"");
    for network in [
        all,
        "network = \"::/0\"",
        "network = [\"0.0.0.0/1\", \"128.0.0.0/1\"]",
    ] {
        says(&open(wide, network), &["allow_untrusted_networks = true"]);
    }
    valid(&open("", all));
    valid(&open(
        &format!("{wide}\nallow_untrusted_networks = true"),
        all,
    ));
    valid(&open(wide, "network = \"10.0.0.0/8\""));
    let tls = "certificate = \"c\"\nkey = \"k\"\nclient_ca = \"ca\"\n";
    valid(&open(
        &format!("{wide}\n{tls}"),
        &format!("{all}\ncertificate = \"cn:a\""),
    ));
    says(
        &open("proxy_protocol = \"::/0\"", all),
        &["everybody claim any address"],
    );
    says(
        &open("max_handshakes = 2\nmax_handshakes_per_address = 3", all),
        &["above max_handshakes 2"],
    );
}
