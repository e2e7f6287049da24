//! What the two processes tell each other.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::admin::{ClientView, Steer};
use crate::audit::Passed;
use crate::net::SocketKind;
use crate::pool::{Pool, Share};
use crate::session::{Moved, SwitchesSet};

/// The version of these messages. A process that gets another one lets the upgrade fail.
pub const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
pub enum Message {
    /// The first message of the new process.
    Hello {
        version: u32,
        /// The version of the sessions that it takes over.
        sessions: u32,
        /// The version of its program.
        program: String,
        pid: u32,
    },
    /// The new process cannot go on, and ends.
    Failed(String),
    /// What the new process gets; the descriptors are those of the sockets.
    Offer(Box<Offer>),
    /// The new process could serve.
    Prepared,
    /// The old process has closed the audit log. It gives no session a higher id.
    LogFree {
        last_session: u64,
    },
    /// The new process serves.
    Ready,
    /// Either process, about the slots of a pool.
    Share {
        pool: PoolName,
        share: Share,
    },
    /// Either process has a cancel request for a session of the other one.
    Cancel {
        request: u64,
        pid: u32,
        key: Vec<u8>,
    },
    Cancelled {
        request: u64,
        found: bool,
    },
    /// A session that goes on in the new process; the descriptor is that of its client.
    Session {
        request: u64,
        moved: Box<Moved>,
    },
    /// The new process has it, and has not begun to serve it before this was sent.
    Taken {
        request: u64,
    },
    /// The new process wants to know whom the old one still serves.
    List {
        request: u64,
    },
    Listed {
        request: u64,
        clients: Vec<ClientView>,
    },
    /// Records of the old process.
    Records(Vec<Passed>),
    /// The records are written, or why they are not.
    Written(Option<String>),
    /// The new process has closed the log, to end. The old one writes the records itself, as far
    /// as they are not in it.
    LogClosed,
    /// The new process has read its configuration again.
    Reload,
    /// An administrator does this in the new process.
    Steer(Steer),
    /// The new process stops.
    Stop,
    /// The old process has closed all of its server connections.
    Goodbye,
}

#[derive(Serialize, Deserialize)]
pub struct Offer {
    /// The sockets in the order of the descriptors.
    pub sockets: Vec<(Part, SocketKind)>,
    pub pools: Vec<OfferedPool>,
    pub switches: SwitchesSet,
    /// The old process knows [`Message::List`].
    #[serde(default)]
    pub lists: bool,
    /// The old process knows [`Message::Steer`].
    #[serde(default)]
    pub steers: bool,
    /// The token that the old process has made for `[admin]`, and its file.
    pub token: Option<(PathBuf, String)>,
}

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    Clients,
    Admin,
    Store,
    Fleet,
}

#[derive(Serialize, Deserialize)]
pub struct OfferedPool {
    pub name: PoolName,
    /// How many slots it may use.
    pub size: usize,
    /// A version logs in. The new process has to do as well there, and no better.
    pub works: bool,
}

/// A database and a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolName {
    pub database: Arc<str>,
    pub secret: Arc<str>,
}

impl PoolName {
    pub fn of(pool: &Pool) -> Self {
        Self {
            database: pool.name.clone(),
            secret: pool.secret.as_str().into(),
        }
    }
}
