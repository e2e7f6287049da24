//! The file as written: tables whose keys are taken out one by one, each with its position. The
//! definition of a key in [`keys`](super::keys) says what may be written and what its default is. A
//! key without a definition is unknown. Reading goes on after a mistake, so that one run shows all
//! mistakes.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::keys::{DOCUMENT, Default, Kind, Table};
use super::problems::Problems;
use super::twice::twice;
use crate::base::{by_nearness, nearest};

/// A value and where it stands.
pub(super) struct Value<'i> {
    pub(super) at: Range<usize>,
    pub(super) value: DeValue<'i>,
}

struct Entry<'i> {
    key: String,
    key_at: Range<usize>,
    value: Value<'i>,
}

/// A table of which keys are taken by name.
pub(super) struct Section<'p, 'i> {
    /// The name in messages: `[listen]`, `[database.orders]`, `token`.
    name: String,
    table: &'static Table,
    at: Range<usize>,
    entries: Vec<Entry<'i>>,
    /// Keys that were asked for, written or not.
    taken: Vec<&'static str>,
    pub(super) problems: &'p Problems<'p>,
}

impl<'p, 'i> Section<'p, 'i> {
    /// The whole document, or `None` with a problem when the text is not TOML.
    pub(super) fn document(problems: &'p Problems<'i>) -> Option<Self> {
        let e = match DeTable::parse(problems.text()) {
            Ok(table) => {
                let table = table.into_inner();
                return Some(Self::new(String::new(), &DOCUMENT, 0..0, table, problems));
            }
            Err(e) => e,
        };
        let at = e.span().unwrap_or(0..0);
        let message = match e.message() {
            "duplicate key" => twice(problems.text(), &at),
            other => format!("this is not TOML: {other}"),
        };
        problems.add(&at, message);
        None
    }

    /// Reads what can be read of a document that may not be TOML.
    pub(super) fn of_what_is_left(problems: &'p Problems<'i>) -> Self {
        let (table, _) = DeTable::parse_recoverable(problems.text());
        Self::new(String::new(), &DOCUMENT, 0..0, table.into_inner(), problems).guessed()
    }

    /// Where guesses are wanted: gives misspelt keys the names that they probably mean, unless
    /// those are written as well.
    fn guessed(mut self) -> Self {
        if !self.problems.guesses {
            return self;
        }
        let table = self.table;
        for at in 0..self.entries.len() {
            let key = &self.entries[at].key;
            let missing = table.keys.iter().map(|k| k.name).filter(|k| !self.has(k));
            if table.key(key).is_none()
                && let Some(meant) = nearest(key, missing)
            {
                self.entries[at].key = meant.to_owned();
            }
        }
        self
    }

    fn new(
        name: String,
        table: &'static Table,
        at: Range<usize>,
        written: DeTable<'i>,
        problems: &'p Problems<'p>,
    ) -> Self {
        let entries = written
            .into_iter()
            .map(|(key, value)| Entry {
                key_at: key.span(),
                key: key.into_inner().into_owned(),
                value: Value {
                    at: value.span(),
                    value: value.into_inner(),
                },
            })
            .collect();
        Self {
            name,
            table,
            at,
            entries,
            taken: Vec::new(),
            problems,
        }
    }

    pub(super) fn take(&mut self, key: &'static str) -> Option<Value<'i>> {
        debug_assert!(self.table.key(key).is_some(), "{key} is not defined");
        self.taken.push(key);
        let i = self.entries.iter().position(|e| e.key == key)?;
        Some(self.entries.swap_remove(i).value)
    }

    /// The default of a key, if that is a value.
    pub(super) fn default_of(&self, key: &str) -> Option<DeValue<'static>> {
        match self.table.key(key)?.default {
            Default::Value(text) => Some(DeValue::parse(text).ok()?.into_inner()),
            Default::Required | Default::Absent(_) => None,
        }
    }

    pub(super) fn kind_of(&self, key: &str) -> Option<Kind> {
        self.table.key(key).map(|key| key.kind)
    }

    /// The table, as messages name it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The place of the table in the text, in bytes.
    pub(super) fn at(&self) -> Range<usize> {
        self.at.clone()
    }

    /// Whether the key was written and not yet taken.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|e| e.key == key)
    }

    /// Notes a problem of the table as a whole.
    pub(super) fn wrong(&self, message: impl AsRef<str>) {
        let message = message.as_ref();
        match self.name.as_str() {
            "" => self.problems.add(&self.at, message),
            name => self.problems.add(&self.at, format!("{name}: {message}")),
        }
    }

    /// A table below this one; one that is not written is read as an empty one.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'p, 'i> {
        let name = match self.name.as_str() {
            "" => format!("[{key}]"),
            _ => key.to_owned(),
        };
        let table = match self.kind_of(key) {
            Some(
                Kind::Table(table)
                | Kind::Named(table)
                | Kind::TableAndNamed(table)
                | Kind::Array(table),
            ) => table,
            _ => self.table,
        };
        let has_names = matches!(
            self.kind_of(key),
            Some(Kind::Named(_) | Kind::TableAndNamed(_))
        );
        match self.take(key) {
            Some(Value {
                at,
                value: DeValue::Table(written),
            }) => {
                let section = Self::new(name, table, at, written, self.problems);
                // A name is no misspelt key.
                if has_names {
                    section
                } else {
                    section.guessed()
                }
            }
            Some(Value { at, .. }) => {
                let form = match self.name.as_str() {
                    "" => name.clone(),
                    _ => table.title.to_owned(),
                };
                let message = format!("{key} is a table; write {form}");
                self.problems.add(&at, message);
                Self::new(name, table, at, DeTable::new(), self.problems)
            }
            None => Self::new(name, table, 0..0, DeTable::new(), self.problems),
        }
    }

    /// A table inside this one, if it is written.
    pub(super) fn inner(&mut self, key: &'static str) -> Option<Section<'p, 'i>> {
        if self.has(key) {
            return Some(self.section(key));
        }
        self.taken.push(key);
        None
    }

    /// `[key.NAME]` for each name.
    pub(super) fn named(&mut self, key: &'static str) -> Vec<(String, Section<'p, 'i>)> {
        let group = self.section(key);
        let (table, problems) = (group.table, group.problems);
        let mut named = Vec::new();
        for Entry { key: n, value, .. } in group.entries {
            match value.value {
                DeValue::Table(written) => {
                    let name = format!("[{key}.{n}]");
                    let section = Self::new(name, table, value.at, written, problems);
                    named.push((n, section));
                }
                _ => problems.add(
                    &value.at,
                    format!("{n} stands directly in [{key}]; write [{key}.NAME] above it"),
                ),
            }
        }
        named
    }

    /// `[key]`, if it is meant, and `[key.NAME]` for each name. A table whose name is a key of
    /// `[key]` is a mistake there.
    pub(super) fn with_named(&mut self, key: &'static str) -> (Option<Self>, Vec<(String, Self)>) {
        let mut group = self.section(key);
        let (table, problems) = (group.table, group.problems);
        let keys: Vec<&str> = group.entries.iter().map(|e| &*e.key).collect();
        let is_meant = table.is_meant(&keys);
        let is_named = |e: &Entry<'i>| match e.value.value {
            DeValue::Table(_) => table.key(&e.key).is_none(),
            _ => false,
        };
        let entries = std::mem::take(&mut group.entries);
        let (named, own): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_named);
        group.entries = own;
        let named = named.into_iter().filter_map(|entry| {
            let DeValue::Table(written) = entry.value.value else {
                return None;
            };
            let name = format!("[{key}.{}]", entry.key);
            let section = Self::new(name, table, entry.value.at, written, problems);
            Some((entry.key, section))
        });
        let named = named.collect();
        // What is neither a key nor a table is a slip that has to be named.
        let is_meant = is_meant || !group.entries.is_empty();
        (is_meant.then_some(group), named)
    }

    /// `[[key]]`, in order.
    pub(super) fn array(&mut self, key: &'static str) -> Vec<Section<'p, 'i>> {
        let Some(Kind::Array(table)) = self.kind_of(key) else {
            return Vec::new();
        };
        let Some(Value { at, value }) = self.take(key) else {
            return Vec::new();
        };
        let DeValue::Array(array) = value else {
            let message = format!("{key} is a list of tables; write [[{key}]]");
            self.problems.add(&at, message);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in array {
            let at = item.span();
            match item.into_inner() {
                DeValue::Table(written) => {
                    let name = table.title.to_owned();
                    sections.push(Self::new(name, table, at, written, self.problems));
                }
                other => self.problems.add(&at, mismatch("a table", &other)),
            }
        }
        sections
    }

    /// Notes every key that is not defined.
    pub(super) fn finish(self) {
        debug_assert!(
            self.table.keys.iter().all(|k| self.taken.contains(&k.name)),
            "{} has a key that is not read: {:?}",
            self.table.title,
            self.taken
        );
        for entry in &self.entries {
            self.problems.add(&entry.key_at, self.unknown(&entry.key));
        }
    }

    /// The message about a key that is not defined.
    fn unknown(&self, key: &str) -> String {
        let what = match self.name.as_str() {
            "" => format!("unknown table {key:?}"),
            name => format!("unknown key {key:?} in {name}"),
        };
        let known = || self.table.keys.iter().map(|key| key.name);
        let elsewhere = self.table.elsewhere.iter().find(|(name, _)| *name == key);
        match (elsewhere, nearest(key, known())) {
            (Some((_, instead)), _) => format!("{what}; {instead}"),
            (None, Some(known)) => format!("{what}; did you mean {known:?}?"),
            (None, None) => {
                let known: Vec<&str> = by_nearness(key, known());
                format!("{what}; there are {}", known.join(", "))
            }
        }
    }
}

/// The message about a value of another type.
pub(super) fn mismatch(expected: &str, found: &DeValue<'_>) -> String {
    let found = match found.type_str() {
        "string" => "text",
        "boolean" => "true or false",
        "array" => "a list",
        "integer" => "a number",
        "float" => "a fraction",
        "table" => "a table",
        _ => "a date",
    };
    format!("write {expected} here, not {found}")
}
