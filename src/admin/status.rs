//! The status of a running proxy: the JSON of `/status`.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Load, Trouble};

/// Where the listener gets its answers.
pub trait StatusSource: Send + Sync {
    /// The state of all pools and secrets.
    fn status(&self) -> Status;

    /// What the pools do at this moment: read once a second.
    fn loads(&self) -> Vec<Load>;

    /// The steps of rotations since the proxy started, the newest last; the oldest of many are
    /// forgotten.
    fn rotation_steps(&self) -> Vec<RotationStep>;

    /// Whether clients can be served.
    ///
    /// # Errors
    /// One sentence that says why not.
    fn ready(&self) -> Result<(), String>;

    /// Updates the gauges; called before they are read.
    fn publish(&self);

    /// Looks at one secret, or at all, now, and makes pools try again at once. Empty if no
    /// pool uses this secret.
    fn refresh(&self, secret: Option<String>) -> RefreshFuture<'_>;
}

pub type RefreshFuture<'a> = Pin<Box<dyn Future<Output = Vec<Refreshed>> + Send + 'a>>;

/// The result of a look at one secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refreshed {
    pub secret: Arc<str>,
    /// The version of AWSCURRENT, even if it is not in force yet.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub current: Option<Arc<str>>,
    /// Whether `current` is another version than before.
    pub changed: bool,
    /// Why the store did not answer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// All that `/status` says. Times are RFC 3339, in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    pub started_at: String,
    /// What `/readyz` says.
    pub ready: bool,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unready: Option<String>,
    /// What is wrong, the worst first.
    #[serde(default)]
    pub troubles: Vec<Trouble>,
    pub databases: Vec<DatabaseStatus>,
    pub secrets: Vec<SecretStatus>,
}

/// One pool: a database with one secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseStatus {
    pub name: Arc<str>,
    pub secret: Arc<str>,
    /// As in the configuration: `session`, `transaction`.
    pub pool_mode: String,
    pub pool_size: usize,
    /// An administrator has paused it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub paused: bool,
    /// Clients connected.
    pub clients: usize,
    /// Those of them that wait for a server connection.
    pub waiting: usize,
    /// How long the first of those has waited.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub longest_wait_ms: Option<u64>,
    pub servers: ServerCounts,
    /// The share of `fleet_size`, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fleet: Option<FleetStatus>,
    /// How many clients keep their server connection between transactions, by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub pinned: BTreeMap<String, usize>,
    /// The connection that listens for clients, while there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub listener: Option<ListenerStatus>,
    /// Newest first.
    pub generations: Vec<GenerationStatus>,
    /// Why the last login failed, if none has succeeded since.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error: Option<String>,
}

/// The share that this replica has of the server connections of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetStatus {
    /// `fleet_size`.
    pub size: usize,
    pub share: usize,
    /// The connections that it would have use for.
    pub demand: usize,
    pub replicas: usize,
    /// The share is held on the server. Otherwise no connection is opened.
    pub held: bool,
}

/// The server connection that listens for clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStatus {
    pub channels: usize,
    pub clients: usize,
    /// The generation it belongs to.
    pub generation: u64,
}

/// Server connections, of all generations together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerCounts {
    pub active: usize,
    pub idle: usize,
    pub opening: usize,
}

/// The server connections that logged in with one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationStatus {
    pub number: u64,
    pub version: Arc<str>,
    pub stages: Vec<String>,
    pub user: Arc<str>,
    pub adopted_at: String,
    /// Absent for the generation to which new server connections belong.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub draining_since: Option<String>,
    pub active: usize,
    pub idle: usize,
    /// Sessions that keep a connection of a draining generation.
    pub holders: Vec<Holder>,
}

/// A session that keeps its server connection, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub session: Arc<str>,
    pub client: Arc<str>,
    pub source: Arc<str>,
    pub since: String,
    /// Words for people: `in a transaction`, `holds advisory locks`, …
    pub reason: String,
}

/// A secret that a pool uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretStatus {
    pub secret: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub arn: Option<Arc<str>>,
    /// The version in force; absent until one has logged in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<Arc<str>>,
    pub stages: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub adopted_at: Option<String>,
    /// Why the version was tried when it was adopted: `AWSCURRENT`, `AWSPENDING`, …
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub adopted_as: Option<Arc<str>>,
    /// When the store last confirmed this version.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub confirmed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error: Option<String>,
    /// Versions that failed to log in since the last one that did, and on the way to the
    /// one in force.
    pub candidates_tried: Vec<Candidate>,
    /// When pgvalet rotates it next; absent if it does not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_rotation: Option<String>,
}

/// The end of a step of a rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RotationStep {
    pub secret: Arc<str>,
    /// The version that will become the current one, once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Arc<str>>,
    pub step: &'static str,
    /// `done`, `skipped`, `failed`.
    pub outcome: &'static str,
    pub detail: Arc<str>,
    pub at: String,
}

/// A version that failed to log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    pub version: Arc<str>,
    /// Why it was tried: `last good`, `AWSCURRENT`, `AWSPENDING`, …
    #[serde(rename = "as")]
    pub standing: Arc<str>,
    pub why: Arc<str>,
    pub at: String,
}

#[cfg(test)]
pub(crate) mod examples;
