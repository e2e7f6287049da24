//! Records as people see them: a table.

use serde_json::Value;

use super::fields::{client, secret, text, version};

/// Text without control characters. A client chose much of a record, and nothing
/// in it may steer the terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// A record as the cells of a table: time, event, client, source, database, secret, version,
/// user and remarks. Times are cut to milliseconds and versions to eight characters, which is as
/// much as is needed to tell them apart.
pub fn table_row(record: &Value) -> [String; 9] {
    let head = |text: &str, n| text.chars().take(n).collect::<String>();
    let time = text(record, "/time");
    let time = time.get(..23).unwrap_or(time).replace('T', " ");
    [
        &time,
        text(record, "/event"),
        client(record),
        text(record, "/source"),
        text(record, "/database"),
        &secret(record),
        &head(version(record), 8),
        text(record, "/credential/user"),
        &remarks(record),
    ]
    .map(printable)
}

fn remarks(record: &Value) -> String {
    let mut remarks = Vec::new();
    for pointer in ["/call/eventName", "/action"] {
        let done = text(record, pointer);
        if !done.is_empty() {
            remarks.push(done.to_owned());
        }
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
    let reference = text(record, "/ref");
    if !reference.is_empty() {
        remarks.push(format!("ref {reference}"));
    }
    let number = |name: &str| record.get(name).and_then(Value::as_u64);
    if let Some(count) = number("count") {
        remarks.push(format!("{count} more of this kind"));
    }
    match number("transactions") {
        Some(1) => remarks.push("1 transaction".to_owned()),
        Some(n) => remarks.push(format!("{n} transactions")),
        None => {}
    }
    if let Some(ms) = number("duration_ms") {
        remarks.push(time(ms));
    }
    remarks.join(", ")
}

/// A time in its two largest units, rounded to seconds from ten seconds on.
fn time(ms: u64) -> String {
    let s = ms / 1_000 + u64::from(ms % 1_000 >= 500);
    let (m, h) = (s / 60, s / 3_600);
    match () {
        () if ms < 10_000 => format!("{ms} ms"),
        () if m == 0 => format!("{s} s"),
        () if h == 0 => format!("{m} m {} s", s % 60),
        () => format!("{h} h {} m", m % 60),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record() -> Value {
        json!({
            "v": 1, "seq": 7, "time": "2026-01-02T03:04:05.678901Z", "event": "credential.use",
            "client": "orders-api", "source": "10.0.0.9:4711", "database": "orders",
            "credential": {
                "secret": "prod/orders", "arn": "arn:aws:x", "version": "0a1b2c3d-4e5f", "user": "app"
            }
        })
    }

    #[test]
    fn a_call_of_the_store_says_who_called_what() {
        let mut record = json!({
            "time": "2026-01-02T03:04:05.678901Z", "event": "store.call",
            "source": "10.0.0.9", "outcome": "failure", "reason": "AccessDeniedException",
            "call": {
                "eventName": "GetSecretValue",
                "userIdentity": { "userName": "api" },
                "requestParameters": { "secretId": "prod/a" },
                "resources": [{ "ARN": "arn:a" }],
                "additionalEventData": { "secretVersionId": "0123456789" },
            },
        });
        let row = table_row(&record).join(" ");
        for part in [
            "api",
            "prod/a",
            "01234567",
            "GetSecretValue, failed, AccessDeniedException",
        ] {
            assert!(row.contains(part), "{row}");
        }
        record["call"] = json!({ "requestParameters": { "name": "prod/new" } });
        assert_eq!(table_row(&record)[5], "prod/new");
        record["store"] = "second".into();
        assert_eq!(table_row(&record)[5], "second:prod/new");
    }

    #[test]
    fn counts_and_times_are_written_for_people() {
        for (transactions, ms, words) in [
            (1, 9_999, "1 transaction, 9999 ms"),
            (0, 10_000, "0 transactions, 10 s"),
            (2, 81_776, "2 transactions, 1 m 22 s"),
            (2, 59_500, "2 transactions, 1 m 0 s"),
            (2, 3_723_000, "2 transactions, 1 h 2 m"),
        ] {
            let record = json!({ "transactions": transactions, "duration_ms": ms });
            assert_eq!(table_row(&record)[8], words);
        }
    }

    #[test]
    fn a_row_says_who_used_what() {
        assert_eq!(
            table_row(&record()),
            [
                "2026-01-02 03:04:05.678",
                "credential.use",
                "orders-api",
                "10.0.0.9:4711",
                "orders",
                "prod/orders",
                "0a1b2c3d",
                "app",
                ""
            ]
        );
    }

    #[test]
    fn what_a_client_chose_cannot_steer_the_terminal() {
        let mut record = record();
        record["reason"] = "\u{1b}[2Jnothing happened\n".into();
        assert!(!table_row(&record).join("").chars().any(char::is_control));
    }
}
