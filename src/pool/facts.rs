//! What clients are told about their server by ParameterStatus: at their login,
//! without asking the server, and later when the server has changed a value by
//! itself.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{Profile, Settings, canonical};
use crate::upstream::Reported;
use crate::wire::message;

/// What a client was told last.
pub struct Told {
    reported: Reported,
    /// The values of `reported` as ParameterStatus messages.
    pub greeting: Box<[u8]>,
}

impl Told {
    fn new(reported: Reported) -> Self {
        let mut greeting = Vec::new();
        for (name, value) in &reported {
            message::parameter_status(&mut greeting, name, value);
        }
        Self {
            reported,
            greeting: greeting.into(),
        }
    }

    pub fn reported(&self) -> &Reported {
        &self.reported
    }

    /// Whether the server still reports the same.
    pub fn is(&self, reported: &Reported) -> bool {
        self.reported.digest() == reported.digest()
    }

    /// Writes one of the values again, whichever.
    pub fn write_one(&self, out: &mut Vec<u8>) {
        if let Some((name, value)) = self.reported.iter().next() {
            message::parameter_status(out, name, value);
        }
    }

    /// Writes what a client does not know yet.
    pub fn write_changes(&self, reported: &Reported, out: &mut Vec<u8>) {
        for (name, value) in reported {
            if self.reported.get(name) != Some(value) {
                message::parameter_status(out, name, value);
            }
        }
    }
}

/// The most values that are remembered: clients choose them, so their number is limited.
const MAX_VALUES: usize = 1024;
const MAX_GREETINGS: usize = 256;

/// What the server connections of a pool report.
#[derive(Default)]
pub struct Facts {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// What server connections report now where nobody has set anything.
    base: Reported,
    /// A connection has logged in, so that `base` holds.
    known: bool,
    told: HashMap<u64, Weak<Told>>,
    /// What clients with these settings are told, and whether that is exact;
    /// forgotten when `base` or `values` change.
    greetings: HashMap<Settings, (Arc<Told>, bool)>,
    /// What the server reports of a setting with this value: `utc` becomes `UTC`.
    values: HashMap<(Box<str>, Box<str>), Box<str>>,
}

impl Inner {
    /// Notes how the server shows a value that was set.
    fn shows(&mut self, name: &str, set: &str, shown: &str) {
        let key = (name.into(), set.into());
        if self.values.get(&key).is_some_and(|known| **known == *shown) {
            return;
        }
        if self.values.len() >= MAX_VALUES {
            self.values.clear();
        }
        self.values.insert(key, shown.into());
        self.greetings.clear();
    }

    fn told(&mut self, reported: &Reported) -> Arc<Told> {
        if let Some(told) = self.told.get(&reported.digest()).and_then(Weak::upgrade) {
            return told;
        }
        self.told.retain(|_, told| told.strong_count() > 0);
        let told = Arc::new(Told::new(reported.clone()));
        self.told.insert(reported.digest(), Arc::downgrade(&told));
        told
    }
}

/// The name under which the server reports a setting, among what it reports.
fn reported_name<'a>(reported: &'a Reported, setting: &str) -> Option<&'a str> {
    let mut all = reported.iter().map(|(name, _)| &**name);
    all.find(|name| name.eq_ignore_ascii_case(setting))
}

impl Facts {
    /// Notes what a connection reports that has just logged in.
    pub fn logged_in(&self, reported: &Reported) {
        let mut inner = self.inner.lock();
        if !inner.known || inner.base.digest() != reported.digest() {
            inner.base = reported.clone();
            inner.known = true;
            inner.greetings.clear();
        }
    }

    /// Notes what a connection reports on which `profile` is set. A value about
    /// which the profile says nothing was changed by the server itself.
    pub fn reports(&self, profile: &Profile, reported: &Reported) {
        let mut inner = self.inner.lock();
        for (name, value) in reported {
            let own = profile.settings().get(&*name.to_ascii_lowercase());
            match own {
                None if inner.base.get(name) != Some(value) => {
                    inner.base.set(name, value);
                    inner.greetings.clear();
                }
                None => {}
                Some(set) => inner.shows(name, set, value),
            }
        }
    }

    /// The one object that stands for what is reported.
    pub fn told(&self, reported: &Reported) -> Arc<Told> {
        self.inner.lock().told(reported)
    }

    /// What a client with these settings is told at its login, and whether that is
    /// exact. `None`: there was no server connection yet.
    pub fn greeting(&self, profile: &Profile) -> Option<(Arc<Told>, bool)> {
        let mut inner = self.inner.lock();
        if !inner.known {
            return None;
        }
        if let Some(known) = inner.greetings.get(profile.settings()) {
            return Some(known.clone());
        }
        let mut reported = inner.base.clone();
        // A standby may have been promoted, which it only says when it is asked.
        let mut exact = inner.base.get("in_hot_standby") != Some("on");
        for (setting, value) in profile.settings() {
            match reported_name(&inner.base, setting) {
                None => {
                    // It is not known whether the server takes it.
                    exact &= inner.values.contains_key(&(setting.clone(), value.clone()));
                }
                Some(name) => {
                    let known = inner.values.get(&(name.into(), value.clone()));
                    let now = inner.base.get(name).unwrap_or_default();
                    let version = inner.base.get("server_version").unwrap_or_default();
                    let shown = match known {
                        Some(known) => Some(known.to_string()),
                        None => canonical::shown(name, value, now, version),
                    };
                    exact &= shown.is_some();
                    reported.set(name, shown.as_deref().unwrap_or(value));
                }
            }
        }
        let greeting = (inner.told(&reported), exact);
        if inner.greetings.len() >= MAX_GREETINGS {
            inner.greetings.clear();
        }
        let settings = profile.settings().clone();
        inner.greetings.insert(settings, greeting.clone());
        Some(greeting)
    }

    /// Notes what the server reports once it has taken these settings.
    pub fn accepted(&self, settings: &Settings, reported: &Reported) {
        let mut inner = self.inner.lock();
        for (setting, value) in settings {
            let name = reported_name(reported, setting).unwrap_or(setting);
            let shown = reported.get(name).unwrap_or(value);
            inner.shows(name, value, shown);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Profiles;

    fn profile(settings: &[(&str, &str)]) -> Arc<Profile> {
        let settings = settings.iter().map(|(n, v)| ((*n).into(), (*v).into()));
        Profiles::default().intern(settings.collect())
    }

    fn shown(facts: &Facts, profile: &Profile, name: &str) -> (String, bool) {
        let (told, exact) = facts.greeting(profile).expect("known");
        (
            told.reported.get(name).unwrap_or_default().to_owned(),
            exact,
        )
    }

    #[test]
    fn a_greeting_follows_what_connections_report() {
        let facts = Facts::default();
        let none = Profile::initial();
        let rome = profile(&[("timezone", "europe/rome")]);
        assert!(facts.greeting(&none).is_none());
        let mut reported = Reported::from_iter([("TimeZone", "UTC"), ("in_hot_standby", "off")]);
        facts.logged_in(&reported);
        assert_eq!(shown(&facts, &none, "TimeZone"), ("UTC".into(), true));
        // Not known yet as the server calls it.
        assert_eq!(
            shown(&facts, &rome, "TimeZone"),
            ("europe/rome".into(), false)
        );
        reported.set("TimeZone", "Europe/Rome");
        facts.accepted(rome.settings(), &reported);
        assert_eq!(
            shown(&facts, &rome, "TimeZone"),
            ("Europe/Rome".into(), true)
        );
        // As a connection says on which somebody has set a zone.
        reported.set("in_hot_standby", "on");
        facts.reports(&rome, &reported);
        let (told, exact) = facts.greeting(&none).expect("known");
        assert_eq!(told.reported.get("in_hot_standby"), Some("on"));
        // It may be promoted any moment.
        assert!(!exact);
        reported.set("in_hot_standby", "off");
        facts.reports(&rome, &reported);
        assert_eq!(shown(&facts, &none, "TimeZone"), ("UTC".into(), true));
    }

    #[test]
    fn only_what_changed_is_told() {
        let facts = Facts::default();
        let mut reported = Reported::from_iter([("a", "1"), ("b", "2")]);
        let told = facts.told(&reported);
        assert!(told.is(&reported) && Arc::ptr_eq(&told, &facts.told(&reported)));
        reported.set("b", "3");
        let mut out = Vec::new();
        told.write_changes(&reported, &mut out);
        let mut expected = Vec::new();
        message::parameter_status(&mut expected, "b", "3");
        assert_eq!(out, expected);
    }
}
