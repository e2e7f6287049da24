//! Versions, who used them, and who still holds one.

use std::collections::BTreeMap;

use serde::Serialize;

use super::fact::Fact;
use super::sessions::{Held, Stay};

/// A version, and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VersionUse {
    pub secret: String,
    pub version: String,
    /// The Postgres user.
    pub user: String,
    /// When a pool adopted it first (RFC 3339); empty if the log does not say.
    pub adopted: String,
    /// Whether it is the newest of its secret that was adopted.
    pub newest: bool,
    /// Logins to Postgres with it, and those that failed.
    pub logins: u64,
    pub failed_logins: u64,
    pub clients: BTreeMap<String, ClientUse>,
    /// Who read its value from the embedded store.
    pub readers: BTreeMap<String, Reads>,
    /// The sessions that have not ended and used it last.
    pub held: Vec<Held>,
}

/// What a client did with a version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ClientUse {
    pub sessions: u64,
    pub transactions: u64,
    pub first: String,
    pub last: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Reads {
    pub times: u64,
    pub last: String,
}

/// Versions by secret and id.
#[derive(Default)]
pub struct Usage(BTreeMap<(String, String), VersionUse>);

impl Usage {
    fn of(&mut self, secret: &str, version: &str) -> &mut VersionUse {
        let key = (secret.to_owned(), version.to_owned());
        self.0.entry(key).or_insert_with(|| VersionUse {
            secret: secret.to_owned(),
            version: version.to_owned(),
            ..VersionUse::default()
        })
    }

    /// Takes a record that is about no session.
    pub fn take(&mut self, fact: &Fact) {
        if fact.event == "store.call" {
            return self.read(fact);
        }
        let Some(credential) = fact.credential.as_ref().filter(|c| !c.version.is_empty()) else {
            return;
        };
        let used = self.of(&credential.secret, &credential.version);
        if !credential.user.is_empty() {
            used.user.clone_from(&credential.user);
        }
        match fact.event.as_str() {
            "secret.adopt" if used.adopted.is_empty() => used.adopted.clone_from(&fact.time),
            "server.open" => used.logins += 1,
            "server.fail" => used.failed_logins += 1,
            _ => {}
        }
    }

    fn read(&mut self, fact: &Fact) {
        let Some(call) = &fact.call else { return };
        let text = |pointer: &str| call.pointer(pointer).and_then(serde_json::Value::as_str);
        let (Some("GetSecretValue"), Some(version), true) = (
            text("/eventName"),
            text("/additionalEventData/secretVersionId"),
            fact.succeeded(),
        ) else {
            return;
        };
        let arn = text("/resources/0/ARN").unwrap_or_default();
        let named = text("/requestParameters/secretId").unwrap_or(arn);
        let secret = crate::audit::fields::name_in(arn).unwrap_or(named);
        let reader = text("/userIdentity/userName").unwrap_or("pgvalet");
        let store = fact.store.as_deref().unwrap_or_default();
        let secret = crate::audit::fields::in_store(store, secret);
        let reads = self.of(&secret, version).readers.entry(reader.to_owned());
        let reads = reads.or_default();
        reads.times += 1;
        reads.last.clone_from(&fact.time);
    }

    /// Takes the use of a version by a session.
    pub fn stay(&mut self, stay: &Stay) {
        let used = self.of(&stay.secret, &stay.version);
        let client = used.clients.entry(stay.client.clone()).or_default();
        client.sessions += 1;
        client.transactions += stay.transactions;
        if client.first.is_empty() || stay.from < client.first {
            client.first.clone_from(&stay.from);
        }
        if stay.last > client.last {
            client.last.clone_from(&stay.last);
        }
    }

    /// Notes that a session holds the version still.
    pub fn hold(&mut self, stay: &Stay) {
        let held = Held {
            client: stay.client.clone(),
            source: stay.source.clone(),
            session: stay.session.clone(),
            proxy: stay.proxy.clone(),
            since: stay.from.clone(),
        };
        self.of(&stay.secret, &stay.version).held.push(held);
    }

    /// The versions of each secret, the newest first.
    pub fn finish(self) -> Vec<VersionUse> {
        let mut versions: Vec<VersionUse> = self.0.into_values().collect();
        versions.sort_by(|a, b| (&a.secret, &b.adopted).cmp(&(&b.secret, &a.adopted)));
        let mut before = None;
        for version in &mut versions {
            version.newest =
                !version.adopted.is_empty() && before.as_ref() != Some(&version.secret);
            before = Some(version.secret.clone());
        }
        versions
    }
}
