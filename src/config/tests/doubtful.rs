//! What is valid, and probably not meant.

use super::*;

#[test]
fn what_is_doubtful_is_warned_of() {
    let doubtful = r#"
[listen]
address = ["0.0.0.0:6432", "unix:/run/pgvalet"]
allow_untrusted_networks = true
socket_mode = "0666"
[database.a]
secret = "s"
tls = "require"
[database.unused]
secret = "s"
tls = "disable"
allow_md5 = true
[[client]]
name = "all"
network = ["0.0.0.0/0", "10.0.0.0/8"]
databases = ["a"]
[[client]]
name = "shadowed"
network = ["10.1.0.0/16"]
users = ["u"]
databases = ["a"]
"#;
    let list = warnings(&valid(doubtful));
    let parts = [
        "0.0.0.0 can be reached",
        "socket_mode 0o666",
        "[database.a] tls = \"require\"",
        "[database.unused] tls = \"disable\"",
        "allow_md5",
        "[database.unused] is granted to no",
        "\"all\" (rule 1) lets in all of 0.0.0.0/0",
        "\"shadowed\" (rule 2) can never decide: \"all\" (rule 1)",
    ];
    assert_eq!(list.len(), parts.len(), "{list:#?}");
    for (warning, part) in list.iter().zip(parts) {
        assert!(warning.contains(part), "{part:?} is missing in {warning:?}");
    }
}

#[test]
fn a_proxy_without_clients_is_warned_of() {
    let list = warnings(&valid("[database.a]\nsecret = \"s\"\n"));
    assert_eq!(list.len(), 2, "{list:#?}");
    assert!(list[0].contains("[database.a] is granted to no"));
    assert!(list[1].contains("there is no [[client]]"));
}

#[test]
fn rules_that_match_nobody_are_warned_of() {
    let found = |listen: &str, rule: &str| {
        let text = format!(
            "[listen]\n{listen}\n[database.orders]\nsecret = \"s\"\n\
             [[client]]\nname = \"a\"\ndatabases = \"orders\"\n{rule}"
        );
        warnings(&valid(&text)).join("\n")
    };
    let unix = "address = \"unix:/run/pgvalet\"";
    let tls = "certificate = \"c\"\nkey = \"k\"\nclient_ca = \"ca\"";
    for (listen, rule, why) in [
        ("", "unix_user = 1", "no unix socket"),
        (unix, "network = \"10.0.0.0/8\"", "no TCP address"),
        (
            unix,
            "unix_user = 1\nnetwork = \"10.0.0.0/8\"",
            "has no address",
        ),
        (
            "",
            "valid = { until = \"2001-01-01T00:00:00Z\" }\nnetwork = \"::1\"",
            "time is over",
        ),
        (
            &format!("{tls}\ntls = \"off\""),
            "certificate = \"cn:a\"",
            "tls is off",
        ),
        (
            &format!("{tls}\n{unix}"),
            "certificate = \"cn:a\"\nunix_user = 1",
            "no TLS",
        ),
    ] {
        let said = found(listen, rule);
        assert!(
            said.contains("can match nobody") && said.contains(why),
            "{rule}: {said}"
        );
    }
    assert_eq!(
        found(tls, "certificate = \"cn:a\"\nnetwork = \"10.0.0.0/8\""),
        ""
    );
    assert_eq!(
        found(
            "",
            "valid = { until = \"2999-01-01T00:00:00Z\" }\nnetwork = \"::1\""
        ),
        ""
    );
}

#[test]
fn a_rule_that_matches_less_does_not_shadow() {
    let two = |first: &str, second: &str| {
        let rule = |keys: &str| format!("[[client]]\nname = \"x\"\n{keys}\n");
        let head = "[database.a]\nsecret = \"s\"\n[database.b]\nsecret = \"s\"\n";
        let text = format!("{head}{}{}", rule(first), rule(second));
        warnings(&valid(&text))
            .iter()
            .any(|w| w.contains("never decide"))
    };
    let (net, all) = ("network = \"10.0.0.0/8\"\n", "databases = [\"a\", \"b\"]\n");
    let wide = format!("{net}{all}");
    assert!(two(&wide, &wide));
    assert!(two(&wide, "network = \"10.9.0.0/16\"\ndatabases = \"b\""));
    assert!(!two(&wide, "network = \"11.0.0.0/8\"\ndatabases = \"b\""));
    assert!(!two(&wide, &format!("unix_user = 1\n{all}")));
    assert!(!two(&format!("{net}databases = \"a\""), &wide));
    assert!(!two(&format!("{wide}users = \"u\""), &wide));
    let day = "valid = { from = \"08:00\", until = \"18:00\" }";
    assert!(two(&wide, &format!("{wide}{day}")));
    assert!(!two(&format!("{wide}{day}"), &wide));
    // What asks for more matches less, whatever it asks for.
    let token =
        "token = { issuer = \"https://i\", audience = \"a\", subject = \"s\", jwks_file = \"f\" }";
    assert!(!two(&format!("{token}\n{all}"), &wide));
    assert!(!two(&format!("{wide}{token}"), &wide));
    assert!(two(&wide, &format!("{wide}{token}")));
    assert!(two(&format!("{wide}{token}"), &format!("{wide}{token}")));
}
