//! The JSON Schema of the configuration, printed from the definitions of the keys. Editors
//! complete and check a file with it (`#:schema`), and so do tests of a chart or a template.
//!
//! What only reading the file can know is not in it: which keys need each other, whether a
//! network is one.

use serde_json::{Map, Value, json};
use toml::de::DeValue;

use super::keys::{DOCUMENT, Default, Key, Kind, Table};

/// A duration as [`duration::parse`](crate::base::duration::parse) reads it.
const DURATION: &str =
    r"^\s*([0-9]+\s*(ms|milliseconds?|s|sec|seconds?|m|min|minutes?|h|hours?|d|days?)\s*)+$";

/// The schema as text: JSON Schema, draft 7, which every editor knows.
pub fn schema() -> String {
    let mut schema = table(&DOCUMENT);
    schema.insert(
        "$schema".to_owned(),
        json!("http://json-schema.org/draft-07/schema#"),
    );
    schema.insert("title".to_owned(), json!("The configuration of pgvalet"));
    // Pretty-printing a value cannot fail.
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

fn table(table: &Table) -> Map<String, Value> {
    let properties: Map<String, Value> = table
        .keys
        .iter()
        .map(|definition| (definition.name.to_owned(), key(definition)))
        .collect();
    let required: Vec<&str> = table
        .keys
        .iter()
        .filter(|key| matches!(key.default, Default::Required))
        .map(|key| key.name)
        .collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), Value::Object(properties));
    schema.insert("additionalProperties".to_owned(), json!(false));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    if !table.about.is_empty() {
        schema.insert("description".to_owned(), json!(table.about));
    }
    schema
}

fn key(key: &Key) -> Value {
    let mut schema = match value(&key.kind) {
        Value::Object(schema) => schema,
        _ => Map::new(),
    };
    if !key.meaning.is_empty() {
        schema.insert("description".to_owned(), json!(key.meaning));
    }
    let written = |text: &str| {
        DeValue::parse(text)
            .ok()
            .map(|value| plain(value.get_ref()))
    };
    if let Default::Value(text) = key.default
        && let Some(default) = written(text)
    {
        schema.insert("default".to_owned(), default);
    }
    if let Some(example) = key.example.and_then(written) {
        schema.insert("examples".to_owned(), json!([example]));
    }
    Value::Object(schema)
}

/// What may be written for a key.
fn value(kind: &Kind) -> Value {
    match *kind {
        Kind::Text(_) => json!({ "type": "string" }),
        Kind::List(_) => json!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" } },
        ] }),
        Kind::Texts(_) => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::BooleanOr(words) => json!({ "anyOf": [{ "type": "boolean" }, { "enum": words }] }),
        Kind::Number(least, most) => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        Kind::Duration(_) => json!({ "type": "string", "pattern": DURATION }),
        Kind::Words(words) => json!({ "enum": words }),
        Kind::User | Kind::NumberOr(_) => json!({ "type": ["string", "integer"] }),
        Kind::Table(inner) => Value::Object(table(inner)),
        Kind::Named(inner) => json!({ "type": "object", "additionalProperties": table(inner) }),
        Kind::TableAndNamed(inner) => {
            let mut both = table(inner);
            both.insert(
                "additionalProperties".to_owned(),
                Value::Object(table(inner)),
            );
            Value::Object(both)
        }
        Kind::Array(inner) => json!({ "type": "array", "items": table(inner) }),
    }
}

/// A value of TOML as JSON. No key has a fraction or a date.
fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => json!(text),
        DeValue::Boolean(value) => json!(value),
        DeValue::Integer(number) => json!(number.as_str().parse::<i64>().ok()),
        DeValue::Array(items) => items.iter().map(|item| plain(item.get_ref())).collect(),
        DeValue::Table(table) => {
            let entry = |(name, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
                let name: &std::borrow::Cow<'_, str> = name.get_ref();
                (name.to_string(), plain(value.get_ref()))
            };
            Value::Object(table.iter().map(entry).collect())
        }
        DeValue::Float(_) | DeValue::Datetime(_) => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_may_be_written_and_what_holds_without_it() {
        let schema: Value = serde_json::from_str(&schema()).expect("JSON");
        let database = &schema["properties"]["database"]["additionalProperties"];
        assert_eq!(database["required"], json!(["secret"]));
        assert_eq!(database["additionalProperties"], json!(false));
        let listen = &schema["properties"]["listen"]["properties"];
        assert_eq!(listen["address"]["default"], json!(["127.0.0.1:6432"]));
        assert_eq!(listen["max_clients"]["default"], json!(10000));
        assert_eq!(listen["tls"]["enum"], json!(["off", "allow", "require"]));
        let client = &schema["properties"]["client"]["items"]["properties"];
        let claims = &client["token"]["properties"]["claims"];
        assert_eq!(claims["examples"], json!([{ "groups": "dba" }]));
    }

    /// What the reader of durations takes and refuses, the pattern does.
    #[test]
    fn its_durations_are_those_that_are_read() {
        let pattern = regex::Regex::new(DURATION).expect("a pattern");
        for text in [
            "30s",
            "5m",
            "1h30m",
            "1h 30m",
            "7 days",
            "100ms",
            " 2 min ",
            "1 sec",
            "3milliseconds",
            "",
            "5",
            "s",
            "5x",
            "-5s",
            "1.5s",
            "5S",
            "5s,",
            "1 month",
            "1 year",
            "5 s 3",
        ] {
            let read = crate::base::duration::parse(text).is_ok();
            assert_eq!(pattern.is_match(text), read, "{text:?}");
        }
    }
}
