//! How far the conditions can be trusted by which clients are recognised.

use std::sync::Arc;

use crate::access::Rule;
use crate::cli::words;
use crate::config::Config;

/// A sentence for each weakness.
pub(super) fn worth(config: &Config) -> Vec<String> {
    let is_local = |rule: &Rule| {
        let mut networks = rule.identity.network.iter().flat_map(|n| &n.0);
        networks.all(|n| n.network().is_loopback())
    };
    let by_address = config
        .clients
        .iter()
        .filter(|r| r.identity.is_address_only());
    let (local, remote): (Vec<_>, Vec<_>) = by_address.partition(|rule| is_local(rule));
    let mut notes = Vec::new();
    if let Some(who) = rules(&local, "lets", "let") {
        notes.push(format!(
            "{who} in every user and program of this machine; loopback_user or unix_user tells them apart"
        ));
    }
    if let Some(who) = rules(&remote, "knows", "know") {
        notes.push(format!(
            "{who} clients of other machines by their address alone: as good as the network's promise that nobody else can have it, and no good behind NAT; a certificate is better"
        ));
    }
    if !config.listen.reception.proxy_protocol.is_empty() {
        notes.push(
            "whoever can connect from a [listen] proxy_protocol network can claim any address"
                .to_owned(),
        );
    }
    notes
}

/// "rule 1 lets", "rules 1, 2 and 3 let"; `None` for no rules.
fn rules(rules: &[&Arc<Rule>], one: &str, several: &str) -> Option<String> {
    let numbers: Vec<String> = rules.iter().map(|rule| rule.number.to_string()).collect();
    match &numbers[..] {
        [] => None,
        [number] => Some(format!("rule {number} {one}")),
        _ => Some(format!("rules {} {several}", words::list(&numbers))),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    fn notes(rules: &[&str]) -> Vec<String> {
        let mut text = "[listen]\ncertificate = \"c\"\nkey = \"k\"\nclient_ca = \"ca\"\n\
                        [database.a]\nsecret = \"s\"\n"
            .to_owned();
        for rule in rules {
            text += &format!("[[client]]\nname = \"x\"\ndatabases = \"a\"\n{rule}\n");
        }
        let config = config::parse(&text, Path::new("t.toml")).unwrap_or_else(|e| panic!("{e}"));
        worth(&config)
    }

    const TOKEN: &str = "token = { issuer = \"https://i\", audience = \"a\" }";

    #[test]
    fn a_rule_that_asks_for_more_than_an_address_is_not_called_weak() {
        let local = "network = \"127.0.0.0/8\"";
        let remote = "network = \"10.0.0.0/8\"";
        for more in [
            TOKEN,
            "aws_iam = { role = \"arn:aws:iam::1:role/a\" }",
            "certificate = \"cn:a\"",
            "loopback_user = 1",
        ] {
            assert_eq!(notes(&[more]), Vec::<String>::new());
            let both = format!("{local}\n{more}");
            assert_eq!(notes(&[&both]), Vec::<String>::new());
            let both = format!("{remote}\n{more}");
            assert_eq!(notes(&[&both]), Vec::<String>::new());
        }
    }

    #[test]
    fn rules_that_know_clients_by_their_address_alone_are_named() {
        let local = "network = \"127.0.0.0/8\"";
        let remote = "network = \"10.0.0.0/8\"";
        let one = notes(&[TOKEN, local]);
        assert_eq!(one.len(), 1);
        assert!(one[0].starts_with("rule 2 lets in every user and program"));
        let more = notes(&[local, remote, local, remote, remote]);
        assert!(more[0].starts_with("rules 1 and 3 let in every user"));
        assert!(more[1].starts_with("rules 2, 4 and 5 know clients of other machines"));
    }
}
