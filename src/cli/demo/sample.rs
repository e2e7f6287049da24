//! A few records of the audit log, as they are, in an order that tells the story.

use std::path::Path;

use serde_json::Value;

use super::journal::Entries;
use super::view::{Ink, Line, with_thousands};

/// The last record of each of these is shown, in the order of the log.
const EVENTS: [&str; 4] = [
    "session.start",
    "credential.use",
    "secret.adopt",
    "drain.end",
];

pub fn lines(path: &Path, entries: &Entries) -> Vec<Line> {
    let records = match std::fs::read_to_string(path) {
        Ok(text) => records(&text),
        Err(e) => {
            let complaint = format!("the audit log cannot be read: {e}");
            return vec![Line::new().add(Ink::Bad, complaint)];
        }
    };
    let count = with_thousands(records.len() as u64);
    let head = Line::new().add(Ink::Strong, "Who used what").add(
        Ink::Faint,
        format!("  from the {count} records of the audit log"),
    );
    let mut lines = vec![head];
    lines.extend(chosen(&records).into_iter().map(|r| line(r, entries)));
    lines
}

fn records(text: &str) -> Vec<Value> {
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn chosen(records: &[Value]) -> Vec<&Value> {
    let mut at: Vec<usize> = EVENTS
        .iter()
        .filter_map(|event| records.iter().rposition(|r| r["event"] == *event))
        .collect();
    at.sort_unstable();
    at.into_iter().filter_map(|at| records.get(at)).collect()
}

fn line(record: &Value, entries: &Entries) -> Line {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    // 2026-01-31T12:34:56.123456Z: the time of day will do here.
    let time = text(&record["time"]);
    let time = time.get(11..23).unwrap_or(&time).to_owned();
    let mut line = Line::new()
        .add(Ink::Faint, format!("  {time:<14}"))
        .add(Ink::Plain, format!("{:<16}", text(&record["event"])));
    let mut say = |name: &str, value: String| {
        if !value.is_empty() {
            line = std::mem::take(&mut line)
                .add(Ink::Faint, format!("{name} "))
                .add(Ink::Plain, format!("{value}  "));
        }
    };
    say("client", text(&record["client"]));
    say("from", text(&record["source"]));
    say("by", text(&record["identity"]["method"]));
    say("database", text(&record["database"]));
    if let Some(ms) = record["duration_ms"].as_u64() {
        say("after", format!("{ms} ms"));
    }
    let credential = &record["credential"];
    say("as", text(&credential["user"]));
    let version = text(&credential["version"]);
    if let Some(short) = version.get(..8) {
        let number = entries.number(&version);
        line = line
            .add(Ink::Faint, "version ")
            .add(Ink::Version(number), format!("{short} (v{number})"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_each_event_in_the_order_of_the_log() {
        let log = r#"{"event":"secret.adopt","n":1}
{"event":"drain.end","n":2}
not a record
{"event":"secret.adopt","n":3}
{"event":"server.open","n":4}
{"event":"session.start","n":5}
"#;
        let records = records(log);
        let chosen: Vec<_> = chosen(&records).iter().map(|r| r["n"].as_u64()).collect();
        assert_eq!(chosen, [Some(2), Some(3), Some(5)]);
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
        for part in [
            "12:34:56.123",
            "credential.use",
            "orders-api",
            "shop_app",
            "01234567 (v1)",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        assert!(!shown.contains("from"));
    }
}
