//! What is to be written: tables with their keys, and why they are there.

use std::fmt::Write as _;

use serde_json::json;
use zeroize::Zeroizing;

/// A configuration, and the secrets that go with it.
#[derive(Default)]
pub(super) struct Plan {
    /// `[listen]` and whatever else stands in front of the databases.
    pub head: Vec<Table>,
    pub databases: Vec<Table>,
    pub clients: Vec<Table>,
    pub secrets: Vec<Stored>,
    /// What a person should know of it.
    pub notes: Vec<String>,
    /// The port on which clients come by TCP, if there is one.
    pub port: Option<u16>,
}

/// A table of the file.
#[derive(Default)]
pub(super) struct Table {
    /// `[listen]`, `[database.orders]`, `[[client]]`.
    pub title: String,
    /// The NAME of `[database.NAME]`, or of the client.
    pub name: String,
    /// What stands above it, a line each.
    pub comment: Vec<String>,
    pub keys: Vec<(String, String)>,
}

/// A secret.
pub(super) struct Stored {
    pub name: String,
    /// `None`: nobody knows its password.
    pub value: Option<Zeroizing<String>>,
    /// What has to be put there, where it has no value.
    pub missing: String,
}

impl Table {
    pub fn new(title: impl Into<String>, comment: &[&str]) -> Self {
        Self {
            title: title.into(),
            comment: comment.iter().map(ToString::to_string).collect(),
            ..Self::default()
        }
    }

    pub fn database(name: &str, comment: &[&str]) -> Self {
        let mut table = Self::new(format!("[database.{}]", key(name)), comment);
        name.clone_into(&mut table.name);
        table
    }

    /// A rule, recognised by where its clients come from.
    pub fn client(name: &str, comment: &[&str]) -> Self {
        let mut table = Self::new("[[client]]", comment);
        name.clone_into(&mut table.name);
        table.text("name", name);
        table
    }

    /// A key, and its value as TOML.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.keys.retain(|(known, _)| known != name);
        self.keys.push((name.to_owned(), value.into()));
    }

    pub fn text(&mut self, name: &str, value: &str) {
        self.set(name, quoted(value));
    }

    pub fn list<'a>(&mut self, name: &str, values: impl IntoIterator<Item = &'a str>) {
        let values: Vec<String> = values.into_iter().map(quoted).collect();
        self.set(name, format!("[{}]", values.join(", ")));
    }

    fn write(&self, text: &mut String) {
        // Writing into a String cannot fail.
        let _ = writeln!(text);
        for line in &self.comment {
            let _ = writeln!(text, "# {line}");
        }
        let _ = writeln!(text, "{}", self.title);
        for (name, value) in &self.keys {
            let _ = writeln!(text, "{name} = {value}");
        }
    }
}

impl Plan {
    /// The text of the file.
    pub fn text(&self) -> String {
        let mut text = "\
            # Made by `pgvalet init`. `pgvalet check` checks it; a running pgvalet reads it again on SIGHUP.\n\
            # docs/CONFIGURATION.md explains every key. No password stands here: passwords are in the store.\n"
            .to_owned();
        for table in self.head.iter().chain(&self.databases).chain(&self.clients) {
            table.write(&mut text);
        }
        text
    }

    /// Where secrets are kept, and what is recorded.
    pub fn keep_here(&mut self) {
        let mut store = Table::new(
            "[store]",
            &[
                "Secrets, encrypted with the key in key_file. A relative path begins in the directory of this file.",
            ],
        );
        store.text("path", "data/store.db");
        store.text("key_file", "data/store.key");
        let mut audit = Table::new(
            "[audit]",
            &["Who used which version of which secret, and when."],
        );
        audit.text("path", "data/audit.jsonl");
        self.head.extend([store, audit]);
    }

    /// Adds a secret, and gives the name that it has got: another one of that name may be there
    /// with another content.
    pub fn secret(
        &mut self,
        name: &str,
        value: Option<Zeroizing<String>>,
        missing: &str,
    ) -> String {
        // Names of secrets have fewer characters than those of databases and users.
        let fits = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
        let name: String = name
            .chars()
            .map(|c| if fits(c) { c } else { '_' })
            .collect();
        let names = (1..).map(|n| match n {
            1 => name.clone(),
            n => format!("{name}-{n}"),
        });
        for name in names {
            match self.secrets.iter().find(|s| s.name == name) {
                Some(same) if same.value == value => return name,
                Some(_) => {}
                None => {
                    self.secrets.push(Stored {
                        name: name.clone(),
                        value,
                        missing: missing.to_owned(),
                    });
                    return name;
                }
            }
        }
        name // there is always a number that is free
    }
}

/// The value of a secret whose place stands in the configuration.
pub(super) fn credential(user: &str, password: &str) -> Zeroizing<String> {
    Zeroizing::new(json!({ "username": user, "password": password }).to_string())
}

/// Text in quotes: what JSON escapes, TOML reads the same way.
pub(super) fn quoted(text: &str) -> String {
    let text = serde_json::Value::from(text).to_string();
    text.replace('\u{7f}', "\\u007f")
}

/// A name as a key.
fn key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match !name.is_empty() && name.chars().all(is_bare) {
        true => name.to_owned(),
        false => quoted(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_gets_a_number_unless_it_is_the_same() {
        let mut plan = Plan::default();
        let mut add = |value: Option<&str>| {
            let value = value.map(|v| Zeroizing::new(v.to_owned()));
            plan.secret("app", value, "")
        };
        assert_eq!(add(Some("a")), "app");
        assert_eq!(add(Some("b")), "app-2");
        assert_eq!(add(Some("a")), "app");
        assert_eq!(add(None), "app-3");
    }

    #[test]
    fn odd_names_are_quoted() {
        assert_eq!(
            Table::database("my db.1", &[]).title,
            "[database.\"my db.1\"]"
        );
        assert_eq!(quoted("a\"b\\\u{7f}"), r#""a\"b\\\u007f""#);
    }
}
