//! Session settings that a client brought at start-up or set later.
//!
//! In transaction mode a client meets another server connection at every
//! lease. A profile is what it expects to be set there; equal profiles are one
//! object, so that in the usual case the comparison on a lease is that of two
//! pointers, and nothing is sent.

mod parse;
mod sql;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Weak};

use parking_lot::Mutex;

use crate::wire::sql::{LIMITS, Resets, push_text};

pub use parse::ParseSettings;
use sql::{changes, push_set};

/// Values by name; names in lower case, as Postgres compares them.
pub type Settings = BTreeMap<Box<str>, Box<str>>;

/// What a client expects to be set on its server connection.
pub struct Profile {
    settings: Settings,
    /// What is created under this profile may be temporary although no word of the text says so.
    pub temporary: bool,
    /// The client's time limits may end pgvalet's own work, or an idle connection: they must not
    /// outlive a lease.
    pub short_limits: bool,
    /// The settings among them that say what a text means.
    parse: Arc<Settings>,
}

static INITIAL: LazyLock<Arc<Profile>> = LazyLock::new(|| Arc::new(Profile::new(Settings::new())));

impl Profile {
    fn new(settings: Settings) -> Self {
        let temporary = settings.iter().any(|(n, v)| makes_temporary(n, v));
        let limit = |name: &str| LIMITS.contains(&name);
        let short_limits = settings.iter().any(|(n, v)| limit(n) && is_short(n, v));
        let parse = Arc::new(parse::of_parse(&settings));
        Self {
            settings,
            temporary,
            short_limits,
            parse,
        }
    }

    /// The settings on which Parse depends; `defaults`: those of the login.
    pub fn parse_settings(&self, defaults: u64) -> ParseSettings {
        ParseSettings::new(defaults, self.parse.clone())
    }

    /// What is left when the time limits are reset.
    pub fn without_limits(&self) -> Settings {
        let mut settings = self.settings.clone();
        settings.retain(|name, _| !LIMITS.contains(&&**name));
        settings
    }

    /// The settings of which a server has to say whether it accepts them, and what it reports. Time
    /// limits would limit questions of pgvalet's as well. `temp_buffers` is refused by a connection
    /// on which temporary tables were used (check_temp_buffers, variable.c): that says nothing about
    /// the value.
    pub fn to_learn(&self) -> Settings {
        let mut settings = self.without_limits();
        settings.remove("temp_buffers");
        settings
    }

    /// The profile in which nothing is set: what a server connection has after its login. One
    /// object for all, because it is compared by address.
    pub fn initial() -> Arc<Self> {
        INITIAL.clone()
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The statements that turn `from` into `self`; `None` when there is no
    /// difference.
    pub fn change_from(&self, from: &Self) -> Option<String> {
        let mut sql = String::new();
        for change in changes(&from.settings, &self.settings) {
            sql.push_str(&change);
            sql.push(';');
        }
        (!sql.is_empty()).then_some(sql)
    }

    /// Whether any setting of the profile is among what is reset.
    pub fn is_touched_by(&self, resets: &Resets) -> bool {
        match resets {
            Resets::One { name, .. } => self.settings.contains_key(name),
            Resets::All | Resets::Some => !self.settings.is_empty(),
        }
    }

    /// The statements that set anew what was reset.
    pub fn restore(&self, resets: &Resets) -> Vec<String> {
        let set = |name: &str, value: &str, local| {
            let mut sql = String::new();
            push_set(&mut sql, name, value, local);
            sql
        };
        match resets {
            Resets::One { name, local } => {
                let value = self.settings.get(name);
                value.iter().map(|v| set(name, v, *local)).collect()
            }
            Resets::All => {
                let all = self.settings.iter();
                all.map(|(name, value)| set(name, value, false)).collect()
            }
            Resets::Some => Vec::from_iter(self.restore_missing()),
        }
    }

    /// The SQL that sets what nobody has set otherwise in this session.
    fn restore_missing(&self) -> Option<String> {
        let mut rows = String::new();
        for (name, value) in &self.settings {
            rows.push_str(if rows.is_empty() { "(" } else { ", (" });
            push_text(&mut rows, name);
            rows.push_str(", ");
            push_text(&mut rows, value);
            rows.push(')');
        }
        // Those of custom classes are not in pg_settings.
        (!rows.is_empty()).then(|| {
            format!(
                "SELECT pg_catalog.set_config(s.name, s.value, false) \
                 FROM (VALUES {rows}) AS s (name, value) \
                 WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_settings AS p \
                 WHERE pg_catalog.lower(p.name) OPERATOR(pg_catalog.=) s.name \
                 AND p.source OPERATOR(pg_catalog.=) 'session') \
                 AND (pg_catalog.strpos(s.name, '.') OPERATOR(pg_catalog.=) 0 \
                 OR COALESCE(pg_catalog.current_setting(s.name, true), '') \
                 OPERATOR(pg_catalog.=) '')"
            )
        })
    }
}

/// Whether what is created under this setting may become temporary: Postgres
/// passes over schemas in front of `pg_temp` that do not exist.
pub fn makes_temporary(name: &str, value: &str) -> bool {
    name == "search_path" && value.to_ascii_lowercase().contains("pg_temp")
}

/// A shorter limit is lifted at the end of a lease, in milliseconds: what pgvalet
/// itself asks takes next to no time, but the machine may be busy.
const SHORT_MS: f64 = 5000.0;

/// Whether a limit may end what pgvalet asks, or a connection that lies idle.
fn is_short(name: &str, value: &str) -> bool {
    let value = value.trim();
    let digits = value.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = value.split_at(digits.unwrap_or(value.len()));
    let factor = match unit.trim() {
        "us" => 0.001,
        "" | "ms" => 1.0,
        "s" => 1000.0,
        "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return true, // an unknown unit may be short
    };
    match number.parse::<f64>() {
        Ok(0.0) => false,
        Ok(_) if name == "idle_session_timeout" => true,
        Ok(number) => number * factor < SHORT_MS,
        Err(_) => true,
    }
}

/// The profiles of a pool's clients.
#[derive(Default)]
pub struct Profiles {
    known: Mutex<HashMap<Settings, Weak<Profile>>>,
}

impl Profiles {
    /// The one object that stands for these settings.
    pub fn intern(&self, settings: Settings) -> Arc<Profile> {
        if settings.is_empty() {
            return Profile::initial();
        }
        let mut known = self.known.lock();
        if let Some(profile) = known.get(&settings).and_then(Weak::upgrade) {
            return profile;
        }
        known.retain(|_, p| p.strong_count() > 0);
        let profile = Arc::new(Profile::new(settings.clone()));
        known.insert(settings, Arc::downgrade(&profile));
        profile
    }
}

#[cfg(test)]
mod tests;
