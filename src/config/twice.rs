//! The message about a key or table that stands in the file twice. The parser says where it
//! stands the second time; this finds the first.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::problems::position;

/// One sentence about the key at `again`, which the parser found to be a duplicate.
pub(super) fn twice(text: &str, again: &Range<usize>) -> String {
    let start = text
        .get(..again.start)
        .and_then(|before| before.rfind('\n'));
    let (before, rest) = text.split_at(start.map_or(0, |end| end + 1));
    let line = rest.lines().next().unwrap_or_default();
    let written = text.get(again.clone()).unwrap_or_default();
    let (table, key) = match header(line) {
        Some(path) => (path, None),
        None => (table_of(before), Some(unquoted(written))),
    };
    let name = match (key, table.is_empty()) {
        (None, _) => format!("[{}]", table.join(".")),
        (Some(key), true) => key.to_owned(),
        (Some(key), false) => format!("{key} in [{}]", table.join(".")),
    };
    let path: Vec<&str> = table.iter().map(String::as_str).chain(key).collect();
    let document = DeTable::parse_recoverable(before).0;
    // A key inside of braces, or behind a dot, does not belong to the table itself.
    let of_table = key.is_none() || line.trim_start().starts_with(written);
    match first(document.get_ref(), &path).filter(|_| of_table) {
        Some(at) => {
            let ((first, _), (second, _)) = (position(text, at), position(text, again.start));
            format!("{name} is there twice (lines {first} and {second}); keep one of them")
        }
        None => format!("{name} is there twice; keep one of them"),
    }
}

/// A key without the quotes that it may be written in.
fn unquoted(key: &str) -> &str {
    key.trim_matches(['"', '\''])
}

/// The names in a line such as `[database.orders]`; `None` for any other line.
fn header(line: &str) -> Option<Vec<String>> {
    if !line.trim_start().starts_with('[') {
        return None;
    }
    let parsed = DeTable::parse(line).ok()?;
    let mut path = Vec::new();
    let mut table = parsed.get_ref();
    while let Some((key, value)) = table.iter().next() {
        path.push(key.get_ref().to_string());
        table = last_table(value.get_ref())?;
    }
    Some(path)
}

/// The table that the end of `text` stands in; empty outside of any.
fn table_of(text: &str) -> Vec<String> {
    text.lines().rev().find_map(header).unwrap_or_default()
}

/// The byte offset of the key at the end of `path`.
fn first(table: &DeTable<'_>, path: &[&str]) -> Option<usize> {
    let (name, below) = path.split_first()?;
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
    match below {
        [] => Some(key.span().start),
        below => first(last_table(value.get_ref())?, below),
    }
}

/// A table, or the last one of `[[…]]`.
fn last_table<'t, 'i>(value: &'t DeValue<'i>) -> Option<&'t DeTable<'i>> {
    match value {
        DeValue::Table(table) => Some(table),
        DeValue::Array(array) => last_table(array.last()?.get_ref()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        let error = DeTable::parse(text).expect_err("a duplicate");
        assert_eq!(error.message(), "duplicate key", "{text}");
        twice(text, &error.span().expect("a place"))
    }

    #[test]
    fn both_lines_are_named() {
        for (text, expected) in [
            ("a = 1\n\na = 2\n", "a is there twice (lines 1 and 3)"),
            (
                "[t]\na = 1\n[u]\n[t]\n",
                "[t] is there twice (lines 1 and 4)",
            ),
            (
                "[d.x]\na = 1\n[d.y]\n[ d . x ] # again\n",
                "[d.x] is there twice (lines 1 and 4)",
            ),
            (
                "[d.\"x y\"]\nb = 1\na = 1\n\"a\" = 2",
                "a in [d.x y] is there twice (lines 3 and 4)",
            ),
            (
                "[[c]]\na = 1\n[[c]]\na = 2\na = 3",
                "a in [c] is there twice (lines 4 and 5)",
            ),
            (
                "[t]\nb = 1\na.b = 2\na.b = 3",
                "b in [t] is there twice; keep",
            ),
            ("[t]\na = { b = 1, b = 2 }", "b in [t] is there twice; "),
        ] {
            let said = said(text);
            assert!(said.starts_with(expected), "{said}");
        }
    }
}
