//! Which records of a log are wanted.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::fields::{client, is_about_secret, is_of_the_log, name_in, text, versions};

/// Conditions on records. All that are given must hold. What the log has signed of itself is
/// wanted only where it is asked for.
#[derive(Debug, Default, Clone)]
pub struct Filter {
    /// The name of a client, or of a principal of the store.
    pub client: Option<String>,
    /// Name or ARN.
    pub secret: Option<String>,
    /// A version, or its first characters.
    pub version: Option<String>,
    pub database: Option<String>,
    pub event: Option<String>,
    /// Leaves out what the proxy asks its own store every minute without getting a value.
    pub without_looks: bool,
    /// The first moment of interest.
    pub since: Option<DateTime<Utc>>,
    /// The first moment that is too late.
    pub until: Option<DateTime<Utc>>,
}

impl Filter {
    pub fn matches(&self, record: &Value) -> bool {
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|w| w == found);
        let secret = self.secret.as_deref();
        let begins = self.version.as_deref();
        is(&self.client, client(record))
            && is(&self.database, text(record, "/database"))
            && match self.event.as_deref() {
                Some(wanted) => text(record, "/event") == wanted,
                None => !(is_of_the_log(record) || self.without_looks && is_look(record)),
            }
            && secret.is_none_or(|wanted| is_about_secret(record, wanted))
            && begins.is_none_or(|begin| versions(record).any(|v| v.starts_with(begin)))
            && self.in_time(record)
    }

    /// Texts that stand in the line of every record that matches, as JSON has them.
    pub(super) fn needles(&self) -> Vec<Vec<u8>> {
        // pgvalet writes a text in one way only.
        let json = |text: &str| serde_json::to_vec(text).unwrap_or_default();
        let whole = |text: &Option<String>| text.as_deref().map(json);
        let inside = |text: &str| {
            let json = json(text);
            json[1..json.len().max(2) - 1].to_vec()
        };
        let event = self.event.as_deref().map(|event| {
            let mut member = b"\"event\":".to_vec();
            member.extend(json(event));
            member
        });
        // A name stands in the ARN as well, and some records have one of them only. The name of
        // a store, which has a colon behind it, stands elsewhere in some.
        let bare = |secret: &str| -> Vec<u8> {
            let last = secret.rsplit(':').next().unwrap_or(secret);
            inside(name_in(secret).unwrap_or(last))
        };
        let secret = self.secret.as_deref().map(bare);
        let version = self.version.as_deref().map(|begin| {
            let mut text = b"\"".to_vec();
            text.extend(inside(begin));
            text
        });
        let all = [
            version,
            secret,
            whole(&self.client),
            whole(&self.database),
            event,
        ];
        all.into_iter().flatten().collect()
    }

    fn in_time(&self, record: &Value) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        let Ok(time) = DateTime::parse_from_rfc3339(text(record, "/time")) else {
            return false;
        };
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time < until)
    }
}

/// Whether a record is of a look that the proxy took at its own store, without a value.
fn is_look(record: &Value) -> bool {
    let call = text(record, "/call/eventName");
    text(record, "/event") == "store.call"
        && text(record, "/identity/method") == "pgvalet"
        && ["Describe", "List", "Get"]
            .iter()
            .any(|begin| call.starts_with(begin))
        && call != "GetSecretValue"
        && text(record, "/call/errorCode").is_empty()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn calls_of_the_store_are_found_by_secret_and_principal() {
        let record = json!({
            "v": 1, "seq": 7, "time": "2026-01-02T03:04:05.678901Z", "event": "store.call",
            "source": "10.0.0.9", "outcome": "failure", "reason": "AccessDeniedException",
            "call": {
                "eventName": "GetSecretValue",
                "userIdentity": { "userName": "api" },
                "requestParameters": { "secretId": "prod/a" },
                "resources": [{ "ARN": "arn:a" }],
                "additionalEventData": { "secretVersionId": "0123456789" },
            },
        });
        let filter = |client: Option<&str>, secret: Option<&str>, version: Option<&str>| Filter {
            client: client.map(Into::into),
            secret: secret.map(Into::into),
            version: version.map(Into::into),
            ..Filter::default()
        };
        assert!(filter(Some("api"), Some("prod/a"), Some("0123")).matches(&record));
        assert!(filter(None, Some("arn:a"), None).matches(&record));
        assert!(!filter(Some("other"), None, None).matches(&record));
        assert!(!filter(None, Some("prod/b"), None).matches(&record));
        // Of a store with a name, by that name or by its ARN.
        let mut named = record.clone();
        named["store"] = "second".into();
        for (secret, is) in [("second:prod/a", true), ("arn:a", true), ("prod/a", false)] {
            let filter = filter(None, Some(secret), None);
            assert_eq!(filter.matches(&named), is, "{secret}");
            let line = named.to_string();
            let may_be = |needle: &Vec<u8>| memchr::memmem::find(line.as_bytes(), needle).is_some();
            assert!(!is || filter.needles().iter().all(may_be), "{secret}");
        }
        assert!(!filter(None, Some("second:prod/a"), None).matches(&record));
        // Whichever way it was named: by its ARN, or when it was made.
        let mut other = record.clone();
        let arn = "arn:aws:secretsmanager:r:1:secret:prod/a-b-AbCdEf";
        other["call"]["requestParameters"] = json!({ "secretId": arn });
        other["call"]["resources"][0]["ARN"] = arn.into();
        assert!(filter(None, Some("prod/a-b"), None).matches(&other));
        assert!(!filter(None, Some("prod/a"), None).matches(&other));
        other["call"] = json!({ "requestParameters": { "name": "prod/new" } });
        assert!(filter(None, Some("prod/new"), None).matches(&other));
    }

    fn record() -> Value {
        json!({
            "v": 1, "seq": 7, "time": "2026-01-02T03:04:05.678901Z", "event": "credential.use",
            "client": "orders-api", "source": "10.0.0.9:4711", "database": "orders",
            "credential": {
                "secret": "prod/orders", "arn": "arn:aws:x", "version": "0a1b2c3d-4e5f", "user": "app"
            }
        })
    }

    fn at(time: &str) -> Option<DateTime<Utc>> {
        Some(time.parse().expect("a time"))
    }

    #[test]
    fn each_condition_lets_its_records_through_and_no_others() {
        let some = |s: &str| Some(s.to_owned());
        let all = Filter::default;
        let holds = [
            all(),
            Filter {
                client: some("orders-api"),
                ..all()
            },
            Filter {
                secret: some("prod/orders"),
                ..all()
            },
            Filter {
                secret: some("arn:aws:x"),
                ..all()
            },
            Filter {
                version: some("0a1b2c3d"),
                ..all()
            },
            Filter {
                version: some("0a1b2c3d-4e5f"),
                ..all()
            },
            Filter {
                database: some("orders"),
                event: some("credential.use"),
                ..all()
            },
            Filter {
                since: at("2026-01-02T03:04:05.678901Z"),
                ..all()
            },
            Filter {
                until: at("2026-01-02T03:04:05.678902Z"),
                ..all()
            },
        ];
        for filter in holds {
            assert!(filter.matches(&record()), "{filter:?}");
        }
        let fails = [
            Filter {
                client: some("orders"),
                ..all()
            },
            Filter {
                secret: some("prod"),
                ..all()
            },
            Filter {
                version: some("1b2c"),
                ..all()
            },
            Filter {
                event: some("session.start"),
                ..all()
            },
            Filter {
                database: some("orders"),
                client: some("x"),
                ..all()
            },
            Filter {
                since: at("2026-01-02T03:04:05.678902Z"),
                ..all()
            },
            Filter {
                until: at("2026-01-02T03:04:05.678901Z"),
                ..all()
            },
        ];
        for filter in fails {
            assert!(!filter.matches(&record()), "{filter:?}");
        }
        assert!(
            !Filter {
                client: some("x"),
                ..all()
            }
            .matches(&json!({}))
        );
    }
}
