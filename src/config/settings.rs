//! The keys of a configuration with their values, to be shown in the console.

use toml::de::{DeTable, DeValue};

use super::changes::with_named;
use super::keys::{DOCUMENT, Default, Effect, Key, Kind, Table};

/// A key with its value as it stands in the file, or its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key with its table: `listen.address`, `database.orders.pool_size`, `client.1.name`.
    pub key: String,
    pub value: String,
    /// The default; empty where there is none.
    pub default: String,
    /// Whether a reload changes it.
    pub changeable: bool,
}

/// The keys of a file without mistakes.
pub(super) fn settings(text: &str) -> Vec<Setting> {
    let mut all = Vec::new();
    let Ok(document) = DeTable::parse(text) else {
        return all;
    };
    let document = document.into_inner();
    for section in DOCUMENT.keys {
        let written = document.get(section.name).map(|v| v.get_ref());
        match (section.kind, written) {
            (Kind::Table(table), written) => {
                let written = written.and_then(table_of);
                of_table(section.name, table, written, &mut all);
            }
            (Kind::Named(table), Some(DeValue::Table(named))) => {
                for (name, written) in named {
                    let name = format!("{}.{}", section.name, name.get_ref());
                    of_table(&name, table, table_of(written.get_ref()), &mut all);
                }
            }
            (Kind::TableAndNamed(table), written) => {
                let (own, named) = with_named(table, written);
                if own {
                    of_table(section.name, table, written.and_then(table_of), &mut all);
                }
                for (name, written) in named {
                    let name = format!("{}.{name}", section.name);
                    of_table(&name, table, table_of(written), &mut all);
                }
            }
            (Kind::Array(table), Some(DeValue::Array(list))) => {
                for (written, number) in list.iter().zip(1..) {
                    let name = format!("{}.{number}", section.name);
                    of_table(&name, table, table_of(written.get_ref()), &mut all);
                }
            }
            _ => {}
        }
    }
    all
}

/// What is in force after a reload: a key that needs a restart has the value that it had.
pub fn in_force(before: &[Setting], new: &[Setting]) -> Vec<Setting> {
    let find = |all: &[Setting], key: &str| all.iter().find(|s| s.key == key).cloned();
    let kept = new.iter().filter_map(|s| match s.changeable {
        true => Some(s.clone()),
        false => find(before, &s.key),
    });
    let mut all: Vec<Setting> = kept.collect();
    let gone = before.iter().filter(|s| !s.changeable);
    let gone: Vec<Setting> = gone
        .filter(|s| find(new, &s.key).is_none())
        .cloned()
        .collect();
    all.extend(gone);
    all
}

fn table_of<'a, 'i>(value: &'a DeValue<'i>) -> Option<&'a DeTable<'i>> {
    match value {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

/// The keys of one table that have a value.
fn of_table(name: &str, table: &Table, written: Option<&DeTable<'_>>, all: &mut Vec<Setting>) {
    for key in table.keys {
        let value = written.and_then(|w| w.get(key.name));
        let value = value.map(|v| shown(v.get_ref()));
        let default = default(key);
        let Some(value) = value.or_else(|| default.clone()) else {
            continue;
        };
        all.push(Setting {
            key: format!("{name}.{}", key.name),
            value,
            default: default.unwrap_or_default(),
            changeable: key.effect != Effect::Restart,
        });
    }
}

fn default(key: &Key) -> Option<String> {
    match key.default {
        Default::Value(text) => DeValue::parse(text).ok().map(|v| shown(v.get_ref())),
        Default::Required | Default::Absent(_) => None,
    }
}

/// A value without its quotes.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(n) => n.to_string(),
        DeValue::Float(n) => n.to_string(),
        DeValue::Boolean(b) => b.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(list) => {
            let items: Vec<String> = list.iter().map(|v| shown(v.get_ref())).collect();
            items.join(", ")
        }
        DeValue::Table(table) => {
            let pairs = table.iter();
            let pairs = pairs.map(|(k, v)| format!("{} = {}", k.get_ref(), shown(v.get_ref())));
            pairs.collect::<Vec<_>>().join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_restart_is_shown_as_it_was() {
        let before = settings("[listen]\nmax_clients = 7\nsocket_mode = \"0600\"\nuser = \"a\"\n");
        let new = settings("[listen]\nmax_clients = 8\nsocket_mode = \"0666\"\nkey = \"k\"\n");
        let all = in_force(&before, &new);
        let value = |key: &str| {
            let found = all.iter().find(|s| s.key == key);
            found.map(|s| s.value.as_str())
        };
        assert_eq!(value("listen.max_clients"), Some("8"));
        assert_eq!(value("listen.socket_mode"), Some("0600"));
        assert_eq!(value("listen.user"), Some("a"));
        assert_eq!(value("listen.key"), None);
    }

    #[test]
    fn written_values_and_defaults() {
        let text = "[listen]\nmax_clients = 7\n[database.orders]\nsecret = \"s\"\n\
            [[client]]\nname = \"a\"\nnetwork = [\"10.0.0.0/8\", \"::1\"]\ndatabases = \"orders\"\n";
        let all = settings(text);
        let value = |key: &str| {
            let found = all.iter().find(|s| s.key == key);
            let found = found.unwrap_or_else(|| panic!("{key} is missing"));
            (
                found.value.as_str(),
                found.default.as_str(),
                found.changeable,
            )
        };
        assert_eq!(value("listen.max_clients"), ("7", "10000", true));
        assert_eq!(value("listen.socket_mode"), ("0660", "0660", false));
        assert_eq!(value("listen.revoke"), ("idle", "idle", true));
        assert_eq!(value("database.orders.secret"), ("s", "", true));
        assert_eq!(value("database.orders.pool_size"), ("20", "20", true));
        assert_eq!(value("client.1.network"), ("10.0.0.0/8, ::1", "", true));
        assert_eq!(value("client.1.databases"), ("orders", "", true));
    }
}
