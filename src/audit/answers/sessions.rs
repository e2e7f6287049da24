//! The sessions that the records tell of, and which versions each has used from when to when.

use std::collections::HashMap;

use serde::Serialize;

use super::fact::{Fact, Used};

/// A session's use of a version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stay {
    pub client: String,
    /// The client's address.
    pub source: String,
    pub database: String,
    pub proxy: String,
    pub session: String,
    pub secret: String,
    pub version: String,
    /// The Postgres user.
    pub user: String,
    /// When its first use was recorded, before it happened (RFC 3339).
    pub from: String,
    /// When it was used last, as far as the log says; within a second.
    pub last: String,
    pub transactions: u64,
    /// The spans that summaries tell of, each from the first use in it to the last.
    #[serde(skip)]
    pub spans: Vec<(String, String)>,
    /// Whether the session has ended, or the process that served it.
    pub ended: bool,
}

impl Stay {
    /// Whether the version was used in an interval, of which the end does not belong to it.
    /// `None`: perhaps, the records are not as exact.
    pub fn was_in(&self, from: &str, until: &str) -> Option<bool> {
        let first = self.from.as_str();
        if first >= until {
            return Some(false);
        }
        if first >= from {
            return Some(true);
        }
        // A span says when its first use was and its last, and nothing of those between.
        let within = |time: &str| time >= from && time < until;
        if self.spans.iter().any(|(a, b)| within(a) || within(b)) {
            return Some(true);
        }
        let around = self
            .spans
            .iter()
            .any(|(a, b)| a.as_str() < until && b.as_str() >= from);
        // What no summary has told yet, or never will.
        let untold = !self.ended && self.spans.last().is_none_or(|(_, b)| b.as_str() < until);
        if around || untold { None } else { Some(false) }
    }
}

/// What a session holds that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    pub client: String,
    pub source: String,
    pub session: String,
    pub proxy: String,
    pub since: String,
}

/// The sessions of a log, while it is read.
#[derive(Default)]
pub struct Sessions {
    /// By process and session.
    open: HashMap<(String, String), Open>,
}

#[derive(Default)]
struct Open {
    source: String,
    stays: Vec<Stay>,
}

impl Sessions {
    /// Takes a record. Returns the uses of sessions that have ended with it.
    pub fn take(&mut self, fact: &Fact) -> Vec<Stay> {
        let mut ended = Vec::new();
        if fact.event == "gap" {
            // A process was killed: its sessions are over. (While pgvalet is upgraded, two of
            // them record in one log.)
            ended = self.end_others(&fact.proxy);
        }
        let Some(session) = &fact.session else {
            return ended;
        };
        let key = (fact.proxy.clone(), session.clone());
        match fact.event.as_str() {
            "session.start" => {
                let open = self.open.entry(key).or_default();
                open.source = fact.source.clone().unwrap_or_default();
            }
            "credential.use" => self.open.entry(key).or_default().begin(fact, session),
            "session.summary" => {
                let open = self.open.entry(key).or_default();
                fact.uses.iter().for_each(|used| open.used(used));
            }
            "session.end" => {
                if let Some(mut open) = self.open.remove(&key) {
                    for used in &fact.uses {
                        // The end leaves out what is that of the whole session.
                        let transactions = used.transactions.or(fact.transactions);
                        open.used(&Used {
                            transactions,
                            ..used.clone()
                        });
                    }
                    ended.extend(open.stays.into_iter().map(Stay::ended));
                }
            }
            _ => {}
        }
        ended
    }

    fn end_others(&mut self, proxy: &str) -> Vec<Stay> {
        let others = self.open.extract_if(|(of, _), _| of != proxy);
        let stays = others.flat_map(|(_, open)| open.stays);
        stays.map(Stay::ended).collect()
    }

    /// The uses of sessions that have not ended, and whether each is of the version that its
    /// session used last.
    pub fn rest(self) -> Vec<(Stay, bool)> {
        let mut rest = Vec::new();
        for open in self.open.into_values() {
            let newest = open.stays.len();
            let stays = open.stays.into_iter().enumerate();
            rest.extend(stays.map(|(n, stay)| (stay, n + 1 == newest)));
        }
        rest.sort_by(|(a, _), (b, _)| (&a.from, &a.session).cmp(&(&b.from, &b.session)));
        rest
    }
}

impl Open {
    fn begin(&mut self, fact: &Fact, session: &str) {
        let Some(credential) = &fact.credential else {
            return;
        };
        let source = fact.source.clone().filter(|s| !s.is_empty());
        self.stays.push(Stay {
            client: fact.client.clone().unwrap_or_default(),
            source: source.unwrap_or_else(|| self.source.clone()),
            database: fact.database.clone().unwrap_or_default(),
            proxy: fact.proxy.clone(),
            session: session.to_owned(),
            secret: credential.secret.clone(),
            version: credential.version.clone(),
            user: credential.user.clone(),
            from: fact.time.clone(),
            last: fact.time.clone(),
            ..Stay::default()
        });
    }

    fn used(&mut self, used: &Used) {
        let is_one = |s: &&mut Stay| {
            used.version.is_empty() || (s.secret == used.secret && s.version == used.version)
        };
        if let Some(stay) = self.stays.iter_mut().rev().find(is_one) {
            stay.transactions += used.transactions.unwrap_or_default();
            let (first, last) = (like_records(&used.first), like_records(&used.last));
            if last > stay.last {
                stay.last.clone_from(&last);
            }
            let first = if first.is_empty() {
                stay.from.clone()
            } else {
                first
            };
            stay.spans.push((first, last));
        }
    }
}

/// A time in whole seconds, as records have theirs.
fn like_records(time: &str) -> String {
    match time.strip_suffix('Z') {
        Some(seconds) if !seconds.contains('.') => format!("{seconds}.000000Z"),
        _ => time.to_owned(),
    }
}

impl Stay {
    fn ended(mut self) -> Self {
        self.ended = true;
        self
    }
}
