//! What differs between two files, key by key, and when each difference takes effect.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use toml::de::{DeTable, DeValue};

use super::keys::{DOCUMENT, Default, Effect, Key, Kind, Table};
use crate::base::{duration, hex};

/// The values of a file, or their defaults, in one form however they are written: by the table
/// that they are in, and the key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written(BTreeMap<String, BTreeMap<String, Entry>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    value: String,
    effect: Effect,
}

/// A key whose value differs, or a table that is there in one of two files only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key, such as `[listen] address`, or the table, such as `[database.orders]`.
    pub key: String,
    pub effect: Effect,
}

impl Written {
    /// The values of a file that has no mistake.
    pub(super) fn of(text: &str) -> Self {
        let mut written = Self::default();
        if let Ok(document) = DeTable::parse(text) {
            written.document(document.get_ref());
        }
        written
    }

    /// SHA-256 of all values, in hexadecimal digits.
    pub fn hash(&self) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        for (table, entries) in &self.0 {
            for (key, entry) in entries {
                context.update(format!("{table} {key} = {}\n", entry.value).as_bytes());
            }
        }
        hex::encode(context.finish().as_ref())
    }

    fn document(&mut self, document: &DeTable<'_>) {
        for key in DOCUMENT.keys {
            let (name, found) = (key.name, document.get(key.name).map(|v| v.get_ref()));
            match (key.kind, found) {
                (Kind::Table(table), found) => self.table(format!("[{name}]"), table, found),
                (Kind::Named(table), Some(DeValue::Table(named))) => {
                    for (of, value) in named {
                        let title = format!("[{name}.{}]", of.get_ref());
                        self.table(title, table, Some(value.get_ref()));
                    }
                }
                (Kind::TableAndNamed(table), found) => {
                    let (own, named) = with_named(table, found);
                    if own {
                        self.table(format!("[{name}]"), table, found);
                    }
                    for (of, value) in named {
                        self.table(format!("[{name}.{of}]"), table, Some(value));
                    }
                }
                (Kind::Array(table), Some(DeValue::Array(array))) => {
                    for value in array {
                        self.table(
                            title_of(name, value.get_ref()),
                            table,
                            Some(value.get_ref()),
                        );
                    }
                }
                _ => {}
            }
        }
    }

    /// Several rules may have one name: they count as one table, in which the values of all
    /// stand one after the other.
    fn table(&mut self, title: String, table: &'static Table, written: Option<&DeValue<'_>>) {
        let entries = self.0.entry(title).or_default();
        keys(entries, "", table, written);
    }

    /// What differs in `new`.
    pub fn changes(&self, new: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        let titles = self
            .0
            .keys()
            .chain(new.0.keys().filter(|t| !self.0.contains_key(*t)));
        for title in titles {
            let (Some(old), Some(new)) = (self.0.get(title), new.0.get(title)) else {
                changes.push(Change {
                    key: title.clone(),
                    effect: Effect::AtOnce,
                });
                continue;
            };
            let names = old
                .keys()
                .chain(new.keys().filter(|k| !old.contains_key(*k)));
            for name in names {
                let (before, after) = (old.get(name), new.get(name));
                if before != after
                    && let Some(entry) = after.or(before)
                {
                    changes.push(Change {
                        key: format!("{title} {name}"),
                        effect: entry.effect,
                    });
                }
            }
        }
        changes
    }

    /// What is in force once `new` was loaded: what needs a restart is as it was.
    pub fn reloaded(&self, mut new: Self) -> Self {
        let fixed = |entry: &Entry| entry.effect == Effect::Restart;
        for (title, old) in &self.0 {
            let Some(new) = new.0.get_mut(title) else {
                continue;
            };
            new.retain(|_, entry| !fixed(entry));
            let kept = old.iter().filter(|(_, entry)| fixed(entry));
            new.extend(kept.map(|(name, entry)| (name.clone(), entry.clone())));
        }
        new
    }
}

/// Whether `[key]` is meant, and the tables `[key.NAME]`.
pub(super) fn with_named<'a, 'i>(
    table: &Table,
    written: Option<&'a DeValue<'i>>,
) -> (bool, Vec<(&'a str, &'a DeValue<'i>)>) {
    let Some(DeValue::Table(written)) = written else {
        return (true, Vec::new());
    };
    let entries = written.iter().map(|(k, v)| (&**k.get_ref(), v.get_ref()));
    let entries: Vec<(&str, &DeValue<'_>)> = entries.collect();
    let names: Vec<&str> = entries.iter().map(|(name, _)| *name).collect();
    let is_named = |(name, v): &(&str, &DeValue<'_>)| {
        table.key(name).is_none() && matches!(v, DeValue::Table(_))
    };
    let named = entries.iter().filter(|entry| is_named(entry)).copied();
    (table.is_meant(&names), named.collect())
}

/// `[[client]] orders-api`.
fn title_of(name: &str, value: &DeValue<'_>) -> String {
    let named = match value {
        DeValue::Table(table) => table.get("name").map(|v| plain(v.get_ref())),
        _ => None,
    };
    format!("[[{name}]] {}", named.unwrap_or_default())
}

/// The keys of a table; `before` stands in front of their names.
fn keys(
    entries: &mut BTreeMap<String, Entry>,
    before: &str,
    table: &'static Table,
    written: Option<&DeValue<'_>>,
) {
    let written = match written {
        Some(DeValue::Table(written)) => Some(written),
        _ => None,
    };
    for key in table.keys {
        let name = format!("{before}{}", key.name);
        let found = written
            .and_then(|table| table.get(key.name))
            .map(|v| v.get_ref());
        if let Kind::Table(inner) = key.kind {
            if found.is_some() {
                keys(entries, &format!("{name}."), inner, found);
            }
            continue;
        }
        let Some(value) = value(key, found) else {
            continue;
        };
        let entry = entries.entry(name).or_insert_with(|| Entry {
            value: String::new(),
            effect: key.effect,
        });
        entry.value.push_str(&value);
        entry.value.push('\n');
    }
}

/// The value, or the default, in one form; `None` where there is neither.
fn value(key: &Key, written: Option<&DeValue<'_>>) -> Option<String> {
    let default = match key.default {
        Default::Value(text) => DeValue::parse(text).ok(),
        Default::Required | Default::Absent(_) => None,
    };
    let value = written.or(default.as_ref().map(|v| v.get_ref()))?;
    let text = plain(value);
    Some(match key.kind {
        Kind::Duration(_) => match duration::parse(&text) {
            Ok(duration) => duration.as_millis().to_string(),
            Err(_) => text,
        },
        _ => text,
    })
}

/// A value as text; a list of one is that one.
fn plain(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Array(array) => {
            let all: Vec<String> = array.iter().map(|v| plain(v.get_ref())).collect();
            all.join("\u{1f}")
        }
        DeValue::Table(table) => {
            let all = table.iter();
            let mut all: Vec<String> = all
                .map(|(key, value)| format!("{}={}", key.get_ref(), plain(value.get_ref())))
                .collect();
            all.sort();
            all.join("\u{1f}")
        }
        DeValue::Boolean(yes) => yes.to_string(),
        other => format!("{other:?}"),
    }
}

/// Every key there is, as its table's title and its name, and when a change takes effect.
pub fn definitions() -> Vec<(&'static str, &'static str, Effect)> {
    fn of(table: &'static Table, all: &mut Vec<(&'static str, &'static str, Effect)>) {
        for key in table.keys {
            match key.kind {
                Kind::Table(inner)
                | Kind::Named(inner)
                | Kind::TableAndNamed(inner)
                | Kind::Array(inner) => of(inner, all),
                _ => all.push((table.title, key.name, key.effect)),
            }
        }
    }
    let mut all = Vec::new();
    of(&DOCUMENT, &mut all);
    all
}

#[cfg(test)]
mod tests;
