//! Reading a log: which records are wanted, and how people see them.

use chrono::{DateTime, Utc};
use serde_json::Value;

/// Which records are wanted; all that is given must hold.
///
/// Records are looked at as JSON rather than as [`Record`](super::Record), so
/// that those of a newer pgvalet are found too.
#[derive(Debug, Default, Clone)]
pub struct Filter {
    pub client: Option<String>,
    /// Name or ARN.
    pub secret: Option<String>,
    /// A version, or how it begins.
    pub version: Option<String>,
    pub database: Option<String>,
    pub event: Option<String>,
    /// From then on.
    pub since: Option<DateTime<Utc>>,
    /// Before then.
    pub until: Option<DateTime<Utc>>,
}

impl Filter {
    pub fn matches(&self, record: &Value) -> bool {
        let is = |wanted: &Option<String>, pointer: &str| {
            wanted.as_deref().is_none_or(|w| text(record, pointer) == w)
        };
        let secret = [
            "/credential/secret",
            "/credential/arn",
            CALL_SECRET,
            CALL_NEW,
            CALL_ARN,
        ]
        .iter()
        .any(|pointer| is(&self.secret, pointer))
            || (self.secret.as_deref()).is_some_and(|w| name_of(text(record, CALL_ARN)) == Some(w));
        let version = self
            .version
            .as_deref()
            .is_none_or(|v| either(record, "/credential/version", CALL_VERSION).starts_with(v));
        (is(&self.client, "/client") || is_caller(&self.client, record))
            && is(&self.database, "/database")
            && is(&self.event, "/event")
            && secret
            && version
            && self.in_time(record)
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

/// Where `store.call` has what other records have elsewhere.
const CALL_SECRET: &str = "/call/requestParameters/secretId";
/// CreateSecret has a name and no id.
const CALL_NEW: &str = "/call/requestParameters/name";
const CALL_ARN: &str = "/call/resources/0/ARN";
const CALL_VERSION: &str = "/call/additionalEventData/secretVersionId";

/// The name in a secret's ARN, in front of its six random characters.
fn name_of(arn: &str) -> Option<&str> {
    let (_, name) = arn.split_once(":secret:")?;
    name.rsplit_once('-').map(|(name, _)| name)
}

/// The principal of a `store.call` stands in the place of a client.
fn is_caller(wanted: &Option<String>, record: &Value) -> bool {
    let caller = text(record, "/call/userIdentity/userName");
    !caller.is_empty() && wanted.as_deref() == Some(caller)
}

fn either<'a>(record: &'a Value, first: &str, second: &str) -> &'a str {
    match text(record, first) {
        "" => text(record, second),
        found => found,
    }
}

fn text<'a>(record: &'a Value, pointer: &str) -> &'a str {
    record
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or("")
}

const WIDTHS: [usize; 8] = [23, 15, 16, 21, 14, 20, 8, 12];

/// A row of the table; the last column has what remains to be said.
fn row(columns: [&str; 9]) -> String {
    let mut row = String::new();
    for (column, width) in columns.iter().zip(WIDTHS) {
        let column = if column.is_empty() { "-" } else { column };
        row.push_str(&format!("{:<width$}  ", printable(column)));
    }
    row.push_str(&printable(columns[8]));
    row.trim_end().to_owned()
}

/// Much of a record was chosen by a client: nothing in it may steer the
/// terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

pub fn table_head() -> String {
    row([
        "TIME", "EVENT", "CLIENT", "SOURCE", "DATABASE", "SECRET", "VERSION", "USER", "",
    ])
}

/// A record for people. Times are cut to milliseconds and versions to eight
/// characters, which is as much as is needed to tell them apart.
pub fn table_row(record: &Value) -> String {
    let head = |text: &str, n| text.chars().take(n).collect::<String>();
    let time = text(record, "/time");
    let time = time.get(..23).unwrap_or(time).replace('T', " ");
    row([
        &time,
        text(record, "/event"),
        either(record, "/client", "/call/userIdentity/userName"),
        text(record, "/source"),
        text(record, "/database"),
        match either(record, "/credential/secret", CALL_SECRET) {
            "" => text(record, CALL_NEW),
            found => found,
        },
        &head(either(record, "/credential/version", CALL_VERSION), 8),
        text(record, "/credential/user"),
        &remarks(record),
    ])
}

fn remarks(record: &Value) -> String {
    let mut remarks = Vec::new();
    let operation = text(record, "/call/eventName");
    if !operation.is_empty() {
        remarks.push(operation.to_owned());
    }
    if text(record, "/outcome") == "failure" {
        remarks.push("failed".to_owned());
    }
    for pointer in ["/reason", "/sqlstate"] {
        let text = text(record, pointer);
        if !text.is_empty() {
            remarks.push(text.to_owned());
        }
    }
    for (pointer, unit) in [
        ("/count", " more of this kind"),
        ("/transactions", " transactions"),
        ("/duration_ms", " ms"),
    ] {
        if let Some(n) = record.pointer(pointer).and_then(Value::as_u64) {
            remarks.push(format!("{n}{unit}"));
        }
    }
    remarks.join(", ")
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
        // Whichever way it was named: by its ARN, or when it was made.
        let mut other = record.clone();
        let arn = "arn:aws:secretsmanager:r:1:secret:prod/a-b-AbCdEf";
        other["call"]["requestParameters"] = json!({ "secretId": arn });
        other["call"]["resources"][0]["ARN"] = arn.into();
        assert!(filter(None, Some("prod/a-b"), None).matches(&other));
        assert!(!filter(None, Some("prod/a"), None).matches(&other));
        other["call"] = json!({ "requestParameters": { "name": "prod/new" } });
        assert!(filter(None, Some("prod/new"), None).matches(&other));
        assert!(table_row(&other).contains("prod/new"));
        let row = table_row(&record);
        for part in [
            "api",
            "prod/a",
            "01234567",
            "GetSecretValue, failed, AccessDeniedException",
        ] {
            assert!(row.contains(part), "{row}");
        }
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

    #[test]
    fn a_row_says_who_used_what() {
        let row = table_row(&record());
        let words: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(
            words,
            [
                "2026-01-02",
                "03:04:05.678",
                "credential.use",
                "orders-api",
                "10.0.0.9:4711",
                "orders",
                "prod/orders",
                "0a1b2c3d",
                "app"
            ]
        );
    }

    #[test]
    fn what_a_client_chose_cannot_steer_the_terminal() {
        let mut record = record();
        record["reason"] = "\u{1b}[2Jnothing happened\n".into();
        assert!(!table_row(&record).chars().any(char::is_control));
    }
}
