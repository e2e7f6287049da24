//! The names that a question may have in it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::audit::{Filter, History};
use crate::base::suggestion;
use crate::config::Config;

/// The names in the configuration, and those in records that were read and are not wanted.
#[derive(Default)]
pub(in crate::cli::audit) struct Known {
    clients: BTreeSet<String>,
    databases: BTreeSet<String>,
    secrets: BTreeSet<String>,
}

impl Known {
    pub fn of(config: &Config) -> Self {
        let secrets = config.uses().into_iter();
        Self {
            clients: config.clients.iter().map(|c| c.name.to_string()).collect(),
            databases: config.databases.keys().map(ToString::to_string).collect(),
            secrets: secrets.map(|(_, secret)| secret.to_string()).collect(),
        }
    }

    pub fn note(&mut self, record: &Value) {
        let note = |names: &mut BTreeSet<String>, pointers: &[&str]| {
            let found = pointers.iter().filter_map(|p| record.pointer(p)?.as_str());
            for name in found {
                if !names.contains(name) {
                    names.insert(name.to_owned());
                }
            }
        };
        note(
            &mut self.clients,
            &["/client", "/call/userIdentity/userName"],
        );
        note(&mut self.databases, &["/database"]);
        let secrets = [
            "/credential/secret",
            "/call/requestParameters/secretId",
            "/call/requestParameters/name",
        ];
        note(&mut self.secrets, &secrets);
    }

    /// Notes all that a log tells of.
    pub fn note_all(&mut self, history: &History) {
        self.clients.extend(history.clients.keys().cloned());
        for version in &history.versions {
            self.secrets.insert(version.secret.clone());
            self.clients.extend(version.clients.keys().cloned());
        }
    }

    /// Whether what is asked for exists, here or in the configuration.
    ///
    /// # Errors
    /// A name is unknown; the nearest.
    pub fn check(&self, filter: &Filter) -> Result<(), String> {
        let arn = filter.secret.as_ref().filter(|s| s.starts_with("arn:"));
        for (what, wanted, names) in [
            ("client", &filter.client, &self.clients),
            ("database", &filter.database, &self.databases),
            ("secret", &filter.secret, &self.secrets),
        ] {
            match wanted {
                Some(name) if !names.contains(name) && arn != Some(name) => {
                    let end = suggestion(name, names.iter().map(String::as_str));
                    return Err(format!(
                        "no record and no line of the configuration has a {what} {name:?}{end}"
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_that_nothing_has_is_an_error_with_the_nearest() {
        let mut known = Known::default();
        known.note(&json!({"client": "orders-api", "database": "orders",
            "credential": {"secret": "prod/orders"}}));
        known.note(&json!({"event": "store.call", "call": {
            "userIdentity": {"userName": "reporter"},
            "requestParameters": {"secretId": "prod/reports"}}}));
        let ask = |client: &str, secret: &str| {
            let some = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
            known.check(&Filter {
                client: some(client),
                secret: some(secret),
                ..Filter::default()
            })
        };
        for (client, secret) in [
            ("orders-api", ""),
            ("reporter", "prod/orders"),
            ("", "prod/reports"),
            ("", "arn:aws:secretsmanager:eu-west-1:1:secret:x-AbCdEf"),
        ] {
            assert_eq!(ask(client, secret), Ok(()));
        }
        let said = ask("order-api", "").expect_err("unknown");
        assert!(said.contains("did you mean \"orders-api\"?"), "{said}");
        let said = ask("", "prod/order").expect_err("unknown");
        assert!(said.contains("did you mean \"prod/orders\"?"), "{said}");
    }
}
