//! What an answer needs of a record.

use serde::Deserialize;
use serde_json::Value;

use crate::audit::line::event;

/// The members of a record that answers are made from.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Fact {
    pub time: String,
    pub proxy: String,
    pub event: String,
    pub session: Option<String>,
    pub client: Option<String>,
    pub identity: Option<Identity>,
    pub source: Option<String>,
    pub database: Option<String>,
    pub outcome: Option<String>,
    pub reason: Option<String>,
    pub step: Option<String>,
    pub count: Option<u64>,
    pub credential: Option<Credential>,
    pub server: Option<Server>,
    pub transactions: Option<u64>,
    pub duration_ms: Option<u64>,
    pub uses: Vec<Used>,
    pub store: Option<String>,
    pub call: Option<Value>,
    pub lost: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Identity {
    pub method: String,
    pub subject: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Credential {
    pub secret: String,
    pub version: String,
    pub user: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Server {
    pub host: String,
    pub port: u16,
    pub pid: Option<i32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Used {
    pub secret: String,
    pub version: String,
    pub leases: u64,
    pub transactions: Option<u64>,
    pub first: String,
    pub last: String,
    pub pids: Vec<i32>,
}

/// The names of the events that say nothing of versions, clients or gaps.
const NEEDLESS: [&[u8]; 5] = [
    b"checkpoint\"",
    b"segment.remove\"",
    b"drain.start\"",
    b"drain.end\"",
    b"reload\"",
];

impl Fact {
    /// Reads a line; `None`: it is no record, or says nothing that answers need.
    pub fn read(line: &[u8]) -> Option<Self> {
        let needless =
            event(line).is_some_and(|event| NEEDLESS.iter().any(|name| event.starts_with(name)));
        // Any record may say that others before it are lost.
        if needless && !line.windows(7).any(|w| w == b",\"lost\"") {
            return None;
        }
        serde_json::from_slice(line).ok()
    }

    pub fn succeeded(&self) -> bool {
        self.outcome.as_deref() != Some("failure")
    }
}
