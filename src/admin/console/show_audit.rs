//! SHOW AUDIT.

use serde_json::Value;

use super::show::World;
use super::table::{Cell, Column, Row, int8, text};

pub const AUDIT: &[Column] = &[
    text("time"),
    int8("seq"),
    text("event"),
    text("client"),
    text("source"),
    text("database"),
    text("secret"),
    text("version"),
    text("user"),
    text("action"),
    text("outcome"),
    text("reason"),
];

/// Where a record has what a column shows.
const PLACES: [&str; 12] = [
    "/time",
    "/seq",
    "/event",
    "/client",
    "/source",
    "/database",
    "/credential/secret",
    "/credential/version",
    "/credential/user",
    "/action",
    "/outcome",
    "/reason",
];

/// The newest records of the audit log, so many at most, the newest first.
pub fn audit(world: &World, most: usize) -> Result<Vec<Row>, String> {
    let records = world.proxy.records(most)?;
    Ok(records.iter().rev().map(row).collect())
}

fn row(record: &Value) -> Row {
    let cell = |place: &&str| match record.pointer(place) {
        Some(Value::String(text)) => Cell::from(text.as_str()),
        Some(Value::Number(number)) => match number.as_u64() {
            Some(number) => number.into(),
            None => Cell::Null,
        },
        _ => Cell::Null,
    };
    PLACES.iter().map(cell).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_column_has_its_place() {
        assert_eq!(AUDIT.len(), PLACES.len());
        for (column, place) in AUDIT.iter().zip(PLACES) {
            assert!(place.ends_with(&*column.name), "{place}");
        }
        let row = row(&json!({"seq": 7, "event": "session.start", "client": "api"}));
        assert_eq!(row[1], 7_u64.into());
        assert_eq!(row[3], "api".into());
        assert_eq!(row[4], Cell::Null);
    }
}
