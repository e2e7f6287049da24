//! The SQL that changes settings.

use super::Settings;
use crate::wire::sql::{LIMITS, push_literal, push_text};

/// The statements that lead from some settings to others. Time limits come last:
/// they hold for what is set behind them.
pub(super) fn changes(from: &Settings, to: &Settings) -> Vec<String> {
    let mut all = Vec::new();
    for name in from.keys().filter(|n| !to.contains_key(*n)) {
        let mut sql = String::new();
        if name.is_ascii() {
            sql.push_str("RESET ");
            push_name(&mut sql, name);
        } else {
            push_call(&mut sql, name, None, false);
        }
        all.push(sql);
    }
    let limit = |name: &str| LIMITS.contains(&name);
    for limits in [false, true] {
        for (name, value) in to {
            if from.get(name) != Some(value) && limit(name) == limits {
                let mut sql = String::new();
                push_set(&mut sql, name, value, false);
                all.push(sql);
            }
        }
    }
    all
}

/// Writes the statement that gives a setting a value, to the end of the
/// transaction where it is `local`.
pub(super) fn push_set(sql: &mut String, name: &str, value: &str, local: bool) {
    if !name.is_ascii() || !value.is_ascii() {
        push_call(sql, name, Some(value), local);
    } else if LISTS.contains(&name) {
        // A query would fix the snapshot of a transaction; SET does not.
        let Some(items) = items(value) else {
            return push_call(sql, name, Some(value), local);
        };
        sql.push_str(if local { "SET LOCAL " } else { "SET " });
        push_name(sql, name);
        for (n, item) in items.iter().enumerate() {
            sql.push_str(if n == 0 { " = " } else { ", " });
            push_literal(sql, item);
        }
    } else {
        sql.push_str(if local { "SET LOCAL " } else { "SET " });
        push_name(sql, name);
        sql.push_str(" = ");
        push_literal(sql, value);
    }
}

/// Writes a call of set_config, whose text may be in any encoding; `None` resets.
fn push_call(sql: &mut String, name: &str, value: Option<&str>, local: bool) {
    sql.push_str("SELECT pg_catalog.set_config(");
    push_text(sql, name);
    sql.push_str(", ");
    match value {
        Some(value) => push_text(sql, value),
        None => sql.push_str("NULL"),
    }
    sql.push_str(if local { ", true)" } else { ", false)" });
}

/// Settings whose value is a list of names (GUC_LIST_QUOTE in guc_tables.c):
/// SET takes a literal for one name and would quote the commas in it.
const LISTS: [&str; 4] = [
    "search_path",
    "temp_tablespaces",
    "local_preload_libraries",
    "session_preload_libraries",
];

/// The names in a list, as SplitIdentifierString (varlena.c) reads them. `None`
/// where that function would find fault, or there are none.
pub(super) fn items(value: &str) -> Option<Vec<String>> {
    let mut items = Vec::new();
    let mut rest = value.trim();
    loop {
        let (item, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let (mut item, mut chars) = (String::new(), quoted.char_indices().peekable());
            let end = loop {
                match chars.next()? {
                    (_, '"') if chars.next_if(|(_, c)| *c == '"').is_some() => item.push('"'),
                    (at, '"') => break at + 1,
                    (_, c) => item.push(c),
                }
            };
            (item, &quoted[end..])
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let item = rest[..end].trim_end();
            if item.contains(|c: char| c == '"' || c.is_ascii_whitespace()) {
                return None;
            }
            (item.to_ascii_lowercase(), &rest[end..])
        };
        // NAMEDATALEN: it would be cut.
        if item.is_empty() || item.len() > 63 {
            return None;
        }
        items.push(item);
        match after.trim_start().strip_prefix(',') {
            Some(after) => rest = after.trim_start(),
            None if after.trim_start().is_empty() => return Some(items),
            None => return None,
        }
    }
}

/// A setting's name, quoted; the dot of a custom one stands outside the quotes.
fn push_name(sql: &mut String, name: &str) {
    for (i, part) in name.split('.').enumerate() {
        if i > 0 {
            sql.push('.');
        }
        sql.push('"');
        sql.push_str(&part.replace('"', "\"\""));
        sql.push('"');
    }
}
