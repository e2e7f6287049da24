//! The file as written: tables whose keys are taken out one by one, each with
//! its position. A key that nobody took is unknown. Reading goes on after a
//! mistake, so that one run shows all of them.

use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::error::{ConfigErrors, Problem};
use crate::base::nearest;

/// What was found wrong so far in one text.
pub(super) struct Problems<'t> {
    text: &'t str,
    list: RefCell<Vec<(usize, String)>>,
}

impl<'t> Problems<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            list: RefCell::default(),
        }
    }

    pub(super) fn add(&self, at: &Range<usize>, message: impl Into<String>) {
        self.list.borrow_mut().push((at.start, message.into()));
    }

    /// `value`, unless anything was found wrong.
    pub(super) fn into_result<T>(self, value: Option<T>, file: &Path) -> Result<T, ConfigErrors> {
        let mut list = self.list.into_inner();
        match value {
            Some(value) if list.is_empty() => return Ok(value),
            // Whoever gives no value has said why.
            _ => list.sort_by_key(|(at, _)| *at),
        }
        let problems = list
            .into_iter()
            .map(|(at, message)| {
                let (line, column) = position(self.text, at);
                Problem {
                    line,
                    column,
                    message,
                }
            })
            .collect();
        Err(ConfigErrors {
            file: file.to_owned(),
            problems,
        })
    }
}

/// Line and column, from 1, of a byte offset.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

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
    /// As messages call it: `[listen]`.
    name: String,
    at: Range<usize>,
    entries: Vec<Entry<'i>>,
    known: Vec<&'static str>,
    pub(super) problems: &'p Problems<'p>,
}

impl<'p, 'i> Section<'p, 'i> {
    /// The whole document, or `None` when it is no TOML.
    pub(super) fn document(text: &'i str, problems: &'p Problems<'p>) -> Option<Self> {
        match DeTable::parse(text) {
            Ok(table) => Some(Self::new(String::new(), 0..0, table.into_inner(), problems)),
            Err(e) => {
                let at = e.span().unwrap_or(0..0);
                problems.add(&at, format!("this is not TOML: {}", e.message()));
                None
            }
        }
    }

    fn new(name: String, at: Range<usize>, table: DeTable<'i>, problems: &'p Problems<'p>) -> Self {
        let entries = table
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
            at,
            entries,
            known: Vec::new(),
            problems,
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Value<'i>> {
        self.known.push(key);
        let i = self.entries.iter().position(|e| e.key == key)?;
        Some(self.entries.swap_remove(i).value)
    }

    /// Where the section stands.
    pub(super) fn at(&self) -> Range<usize> {
        self.at.clone()
    }

    /// Whether the key was written and not yet taken.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|e| e.key == key)
    }

    /// A problem of the section as a whole.
    pub(super) fn wrong(&self, message: impl AsRef<str>) {
        let message = message.as_ref();
        match self.name.as_str() {
            "" => self.problems.add(&self.at, message),
            name => self.problems.add(&self.at, format!("{name}: {message}")),
        }
    }

    /// Takes a value with what turns it into the type wanted; whatever that
    /// says is wrong is put down with the place and the key.
    pub(super) fn value<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&DeValue<'i>) -> Result<T, String>,
    ) -> Option<T> {
        let Value { at, value } = self.take(key)?;
        read(&value)
            .map_err(|message| self.problems.add(&at, format!("{key}: {message}")))
            .ok()
    }

    pub(super) fn text<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.value(key, |value| match value {
            DeValue::String(text) => read(text),
            other => Err(mismatch("text in quotes", other)),
        })
    }

    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        self.value(key, |value| match value {
            DeValue::Boolean(b) => Ok(*b),
            other => Err(mismatch("true or false", other)),
        })
    }

    pub(super) fn integer(&mut self, key: &'static str, allowed: Range<u64>) -> Option<u64> {
        self.value(key, |value| {
            let n = integer(value)?;
            if allowed.contains(&n) {
                return Ok(n);
            }
            let (least, most) = (allowed.start, allowed.end - 1);
            Err(format!("{n} is out of range; write {least} to {most}"))
        })
    }

    /// A list of texts, or one text alone. Elements that are wrong are put
    /// down each at its own place. `None` only when the key is not there.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let Value { at, value } = self.take(key)?;
        let list_at = at.clone();
        let items: Vec<(Range<usize>, DeValue<'i>)> = match value {
            DeValue::Array(array) => array
                .into_iter()
                .map(|item| (item.span(), item.into_inner()))
                .collect(),
            one => vec![(at, one)],
        };
        if items.is_empty() {
            let message = format!("{key}: the list is empty; fill it or leave it out");
            self.problems.add(&list_at, message);
        }
        let mut list = Vec::with_capacity(items.len());
        for (at, item) in items {
            let item = match &item {
                DeValue::String(text) => read(text),
                other => Err(mismatch("a list of texts in quotes", other)),
            };
            match item {
                Ok(item) => list.push(item),
                Err(message) => self.problems.add(&at, format!("{key}: {message}")),
            }
        }
        Some(list)
    }

    /// A table below this one; an absent one is read as an empty one.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'p, 'i> {
        let name = format!("[{key}]");
        match self.take(key) {
            Some(Value {
                at,
                value: DeValue::Table(table),
            }) => Self::new(name, at, table, self.problems),
            Some(Value { at, .. }) => {
                self.problems
                    .add(&at, format!("{key} is a section; write {name}"));
                Self::new(name, at, DeTable::new(), self.problems)
            }
            None => Self::new(name, 0..0, DeTable::new(), self.problems),
        }
    }

    /// `[key.NAME]` for each name.
    pub(super) fn named(&mut self, key: &'static str) -> Vec<(String, Section<'p, 'i>)> {
        let group = self.section(key);
        let problems = group.problems;
        let mut named = Vec::new();
        for Entry { key: n, value, .. } in group.entries {
            match value.value {
                DeValue::Table(table) => {
                    let section = Self::new(format!("[{key}.{n}]"), value.at, table, problems);
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

    /// `[[key]]`, in order.
    pub(super) fn array(&mut self, key: &'static str) -> Vec<Section<'p, 'i>> {
        let Some(Value { at, value }) = self.take(key) else {
            return Vec::new();
        };
        let DeValue::Array(array) = value else {
            let message = format!("{key} is a list of sections; write [[{key}]]");
            self.problems.add(&at, message);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in array {
            let at = item.span();
            match item.into_inner() {
                DeValue::Table(table) => {
                    sections.push(Self::new(format!("[[{key}]]"), at, table, self.problems));
                }
                other => self.problems.add(&at, mismatch("a table", &other)),
            }
        }
        sections
    }

    /// Puts down every key that nobody took.
    pub(super) fn finish(self) {
        let what = if self.name.is_empty() {
            "section"
        } else {
            "key"
        };
        for entry in &self.entries {
            let mut message = format!("unknown {what} {:?}", entry.key);
            if !self.name.is_empty() {
                message += &format!(" in {}", self.name);
            }
            match nearest(&entry.key, self.known.iter().copied()) {
                Some(known) => message += &format!("; did you mean {known:?}?"),
                None => message += &format!("; there are {}", self.known.join(", ")),
            }
            self.problems.add(&entry.key_at, message);
        }
    }
}

pub(super) fn integer(value: &DeValue<'_>) -> Result<u64, String> {
    match value {
        DeValue::Integer(n) => u64::from_str_radix(n.as_str(), n.radix())
            .map_err(|_| "the number is negative or too large".to_owned()),
        other => Err(mismatch("a whole number without quotes", other)),
    }
}

fn mismatch(expected: &str, found: &DeValue<'_>) -> String {
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
