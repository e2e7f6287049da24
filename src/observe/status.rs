//! What `/status` says: the shape that `pgvalet status` and dashboards read.
//! Times are RFC 3339.

use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    pub started_at: String,
    pub ready: bool,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub not_ready: Option<String>,
    pub databases: Vec<DatabaseStatus>,
    pub secrets: Vec<SecretStatus>,
}

/// One pool: a database with one of the secrets it is used with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabaseStatus {
    pub name: String,
    pub secret: String,
    pub pool_mode: String,
    pub pool_size: usize,
    pub clients: usize,
    pub waiting: usize,
    pub servers: ServerCounts,
    /// The one in force first.
    pub generations: Vec<GenerationStatus>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerCounts {
    pub active: usize,
    pub idle: usize,
    pub opening: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerationStatus {
    pub number: u64,
    pub version: String,
    pub stages: Vec<String>,
    pub user: String,
    pub adopted_at: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub draining_since: Option<String>,
    pub active: usize,
    pub idle: usize,
    /// Who holds connections of a generation that drains.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub holders: Vec<Holder>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    pub session: u64,
    pub client: String,
    pub source: String,
    /// When the session began.
    pub since: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecretStatus {
    pub secret: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub arn: Option<String>,
    /// The version that AWSCURRENT was last seen on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<String>,
    /// When the store last confirmed it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub confirmed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error: Option<String>,
}

/// Who can tell how things stand.
pub trait StatusSource: Send + Sync + 'static {
    fn status(&self) -> Status;

    /// # Errors
    /// Why no client should be sent here now.
    fn ready(&self) -> Result<(), String>;

    /// Brings the gauges up to date; called before they are read.
    fn publish(&self);
}

pub fn rfc3339(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Millis, true)
}
