//! The audit record: its fields, and their names in the log.
//!
//! The names are a contract with whoever reads logs, and are never changed.

use std::sync::Arc;

use serde::de::IntoDeserializer;
use serde::{Deserialize, Serialize};

use super::checkpoint::TreeRef;
use super::parts::{ConfigRef, CredentialRef, IdentityRef, ServerRef, UseRef};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Event {
    #[serde(rename = "session.start")]
    SessionStart,
    #[serde(rename = "session.deny")]
    SessionDeny,
    #[serde(rename = "session.end")]
    SessionEnd,
    /// What a session that goes on has done with each version.
    #[serde(rename = "session.summary")]
    SessionSummary,
    /// A client gave a server connection back.
    #[serde(rename = "lease")]
    Lease,
    /// A session goes on in another process.
    #[serde(rename = "session.move")]
    SessionMove,
    /// The first lease of a session on a version.
    #[serde(rename = "credential.use")]
    CredentialUse,
    #[serde(rename = "server.open")]
    ServerOpen,
    #[serde(rename = "server.fail")]
    ServerFail,
    #[serde(rename = "server.close")]
    ServerClose,
    #[serde(rename = "secret.adopt")]
    SecretAdopt,
    #[serde(rename = "secret.fail")]
    SecretFail,
    /// A database is about to get a new password.
    #[serde(rename = "rotation.begin")]
    RotationBegin,
    /// The end of a step of a rotation.
    #[serde(rename = "rotation.step")]
    RotationStep,
    #[serde(rename = "drain.start")]
    DrainStart,
    #[serde(rename = "drain.end")]
    DrainEnd,
    /// An administrator has changed something, or tried to.
    #[serde(rename = "admin")]
    Admin,
    /// The proxy has started.
    #[serde(rename = "start")]
    Start,
    #[serde(rename = "reload")]
    Reload,
    /// A call of the embedded store's API.
    #[serde(rename = "store.call")]
    StoreCall,
    /// What the log has signed of itself.
    #[serde(rename = "checkpoint")]
    Checkpoint,
    /// Records may be missing before this one.
    #[serde(rename = "gap")]
    Gap,
    /// A file of the log was old enough to be removed.
    #[serde(rename = "segment.remove")]
    SegmentRemove,
}

impl Event {
    /// The event that has this name in the log.
    pub fn named(name: &str) -> Option<Self> {
        Self::read(name).ok()
    }

    /// The names of all events.
    pub fn names() -> Vec<String> {
        // What reads them knows them alone, and lists them where a name is none of them.
        let error = Self::read("").err().map(|e| e.to_string());
        let error = error.unwrap_or_default();
        let quoted = error.split('`').skip(1).step_by(2).skip(1);
        quoted.map(str::to_owned).collect()
    }

    fn read(name: &str) -> Result<Self, serde::de::value::Error> {
        Self::deserialize(name.into_deserializer())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Success,
    Failure,
}

/// What happened, as whoever records it knows it. The log adds `v`, `seq`, `time`, `proxy`
/// and `prev`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub event: Event,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub session: Option<Arc<str>>,
    /// The name of the `[[client]]` rule.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub identity: Option<Arc<IdentityRef>>,
    /// The client's address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<Arc<str>>,
    /// The address of the load balancer that named the source.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub via: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub database: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub requested_user: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub application_name: Option<Arc<str>>,
    /// Protocol version of the client's TLS; absent without TLS.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tls: Option<Arc<str>>,
    /// The short name of a denial, which its client was shown.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none", default)]
    pub reference: Option<Arc<str>>,
    /// Number of the rule in the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<usize>,
    /// What an administrator did: `PAUSE orders`, …
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub action: Option<Arc<str>>,
    /// The step of a rotation: `createSecret`, `setSecret`, …
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub step: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Arc<str>>,
    /// How many denials the record stands for, which have none of their own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sqlstate: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub credential: Option<CredentialRef>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub server: Option<ServerRef>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transactions: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes_out: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duration_ms: Option<u64>,
    /// What a session has done with each version since its last summary.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub uses: Vec<UseRef>,
    /// The configuration, in a `start` and a `reload`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub config: Option<Box<ConfigRef>>,
    /// The name of the store that a `store.call` is about; the default store has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub store: Option<Arc<str>>,
    /// The call in a `store.call`, in the shape of a CloudTrail event.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub call: Option<Box<serde_json::Value>>,
    /// The state of the log, in a `checkpoint`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tree: Option<Box<TreeRef>>,
    /// The last of the records that are removed, in a `segment.remove`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub removed: Option<u64>,
}

impl Record {
    /// A record with no more than its event: `events.rs` has a constructor for each.
    pub(super) fn new(event: Event) -> Self {
        Self {
            event,
            session: None,
            client: None,
            identity: None,
            source: None,
            via: None,
            database: None,
            requested_user: None,
            application_name: None,
            tls: None,
            reference: None,
            rule: None,
            action: None,
            step: None,
            outcome: None,
            reason: None,
            count: None,
            sqlstate: None,
            credential: None,
            server: None,
            transactions: None,
            bytes_in: None,
            bytes_out: None,
            duration_ms: None,
            uses: Vec::new(),
            config: None,
            store: None,
            call: None,
            tree: None,
            removed: None,
        }
    }
}
