//! A few records of the audit log: who used which version.

use std::path::Path;

use serde_json::Value;

use super::journal::Entries;
use super::view::{Ink, Line, with_thousands};

/// The event of which the last record of each client is shown.
const USE: &str = "credential.use";
/// The events of which the last record is shown.
const OTHERS: [&str; 2] = ["secret.adopt", "drain.end"];

/// The columns: name, width, and where the value is in a record. Together with the time they fit
/// into 80 columns.
const COLUMNS: [(&str, usize, &str); 5] = [
    ("event", 16, "/event"),
    ("client", 12, "/client"),
    ("version", 15, VERSION),
    ("user", 10, "/credential/user"),
    ("database", 0, "/database"),
];
const VERSION: &str = "/credential/version";
const TIME: usize = 14;

pub fn lines(path: &Path, entries: &Entries) -> Vec<Line> {
    let records = match std::fs::read_to_string(path) {
        Ok(text) => records(&text),
        Err(e) => {
            let complaint = format!("the audit log cannot be read: {e}");
            return vec![Line::new().add(Ink::Bad, complaint)];
        }
    };
    let count = with_thousands(records.len() as u64);
    let title = Line::new()
        .add(Ink::Strong, "Who used what")
        .add(Ink::Faint, format!(", from {count} audit records"));
    let names = Line::new().add(Ink::Faint, format!("  {:TIME$}", "time"));
    let names = COLUMNS.iter().fold(names, |line, (name, width, _)| {
        line.add(Ink::Faint, format!("{name:width$}"))
    });
    let mut lines = vec![title, names];
    lines.extend(chosen(&records).into_iter().map(|r| line(r, entries)));
    lines
}

fn records(text: &str) -> Vec<Value> {
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// The records to show, in the order of the log.
fn chosen(records: &[Value]) -> Vec<&Value> {
    let mut clients: Vec<&Value> = Vec::new();
    let mut at: Vec<usize> = OTHERS
        .iter()
        .filter_map(|event| records.iter().rposition(|r| r["event"] == *event))
        .collect();
    for (index, record) in records.iter().enumerate().rev() {
        if record["event"] == USE && !clients.contains(&&record["client"]) {
            clients.push(&record["client"]);
            at.push(index);
        }
    }
    at.sort_unstable();
    at.into_iter().filter_map(|at| records.get(at)).collect()
}

fn line(record: &Value, entries: &Entries) -> Line {
    let text = |place: &str| record.pointer(place).and_then(Value::as_str).unwrap_or("");
    // Of 2026-01-31T12:34:56.123456Z the time of day is shown.
    let time = text("/time");
    let time = time.get(11..23).unwrap_or(time);
    let line = Line::new().add(Ink::Faint, format!("  {time:TIME$}"));
    COLUMNS.iter().fold(line, |line, (_, width, place)| {
        let value = text(place);
        if *place != VERSION {
            return line.add(Ink::Plain, format!("{value:width$}"));
        }
        let number = entries.number(value);
        let short: String = value.chars().take(8).collect();
        let version = format!("{short} (v{number})");
        line.add(Ink::Version(number), format!("{version:width$}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_use_of_each_client_and_the_last_of_the_others() {
        let log = r#"{"event":"secret.adopt","n":1}
{"event":"drain.end","n":2}
{"event":"credential.use","client":"a","n":3}
not a record
{"event":"secret.adopt","n":4}
{"event":"credential.use","client":"b","n":5}
{"event":"server.open","n":6}
{"event":"credential.use","client":"a","n":7}
"#;
        let records = records(log);
        let chosen: Vec<_> = chosen(&records).iter().map(|r| r["n"].as_u64()).collect();
        assert_eq!(chosen, [Some(2), Some(4), Some(5), Some(7)]);
    }

    /// No column is cut, with the widest values of the demo.
    #[test]
    fn the_columns_fit_into_80() {
        let entries = Entries {
            versions: (0..12).map(|n| format!("{n:08}-abc")).collect(),
            ..Entries::default()
        };
        let record = serde_json::json!({
            "event": "credential.use", "time": "2026-01-31T12:34:56.123456Z",
            "client": "settlement", "database": "reports", "source": "127.0.0.1:45678",
            "credential": {"user": "shop_app", "version": "00000011-abc"},
        });
        let line = line(&record, &entries);
        assert!(line.width() <= 80, "{}", line.width());
        assert_eq!(line.render(80, false), line.render(200, false));
    }

    #[test]
    fn a_record_is_shown_with_what_it_has() {
        let mut entries = Entries::default();
        entries.versions.push("0123456789abcdef".to_owned());
        let record = serde_json::json!({
            "event": "credential.use", "time": "2026-01-31T12:34:56.123456Z",
            "client": "orders-api", "database": "orders",
            "credential": {"user": "shop_app", "version": "0123456789abcdef"},
        });
        let shown = line(&record, &entries).render(200, false);
        let words: Vec<_> = shown.split_whitespace().collect();
        let expected = "12:34:56.123 credential.use orders-api 01234567 (v1) shop_app orders";
        assert_eq!(words.join(" "), expected);
    }
}
