//! What keeps a session on its server connection.

use std::time::{Duration, Instant};

use tracing::info;

use super::handle::{Handle, Held};
use super::signal::Signal;

/// State on the server that cannot move to another connection by itself, and keeps the
/// client on its own beyond a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// A session-level advisory lock.
    Advisory,
    /// Something that ends only with the connection: a replication origin, a temporary slot, a
    /// backup.
    Connection,
    /// A cursor WITH HOLD.
    Cursor,
    /// LISTEN, until the pool's listening connection listens in its place.
    Listen,
    /// A statement made by SQL's PREPARE.
    Prepare,
    /// The client replicates.
    Replication,
    /// SET ROLE.
    Role,
    /// SET SESSION AUTHORIZATION.
    SessionAuthorization,
    /// Settings whose names pgvalet does not know, or that are too long to be carried.
    SetConfig,
    /// Temporary tables or other temporary objects.
    Temp,
}

impl Pin {
    pub const ALL: [Self; 10] = [
        Self::Advisory,
        Self::Connection,
        Self::Cursor,
        Self::Listen,
        Self::Prepare,
        Self::Replication,
        Self::Role,
        Self::SessionAuthorization,
        Self::SetConfig,
        Self::Temp,
    ];

    /// The name in metrics, status and log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Advisory => "advisory",
            Self::Connection => "connection",
            Self::Cursor => "cursor",
            Self::Listen => "listen",
            Self::Prepare => "prepare",
            Self::Replication => "replication",
            Self::Role => "role",
            Self::SessionAuthorization => "session_authorization",
            Self::SetConfig => "set_config",
            Self::Temp => "temp",
        }
    }

    /// Whether the meaning of an SQL text may depend on this state, so that the profile
    /// alone does not say under which settings a statement is parsed.
    pub(in crate::session) fn decides_meaning(self) -> bool {
        matches!(
            self,
            Self::Role | Self::SessionAuthorization | Self::SetConfig | Self::Temp
        )
    }
}

/// How long a session that could not move is not asked again: its state may go away, but
/// asking for it costs a query.
const MOVE_AGAIN: Duration = Duration::from_secs(2);

/// The pins of one session.
#[derive(Default)]
pub(super) struct Pinned {
    now: Option<Pin>,
    /// Why the session could not move to another generation, and when that was found.
    stays: Option<(Pin, Instant)>,
    /// Pins that have been logged.
    logged: Vec<Pin>,
}

impl Handle {
    /// What keeps the client on its server connection, if anything does.
    pub fn pinned(&self) -> Option<Pin> {
        self.pinned.lock().as_ref().and_then(|p| p.now)
    }

    /// Why the session could not move when it last tried.
    pub fn stays(&self) -> Option<Pin> {
        self.pinned.lock().as_ref()?.stays.map(|(why, _)| why)
    }

    /// Notes what keeps the client on its server connection. Each pin is logged once a
    /// session.
    pub(in crate::session) fn set_pin(&self, pin: Option<Pin>) {
        let mut pinned = self.pinned.lock();
        if pin.is_none() && pinned.is_none() {
            return;
        }
        let pinned = pinned.get_or_insert_default();
        pinned.now = pin;
        if let Some(pin) = pin
            && !pinned.logged.contains(&pin)
        {
            pinned.logged.push(pin);
            info!(
                session = %self.id, client = %self.client, database = %self.database(),
                reason = pin.as_str(), "the client keeps its server connection"
            );
        }
    }

    /// Notes why the session could not move to the generation in force; `None` where it
    /// could, or did not have to.
    pub(in crate::session) fn set_stays(&self, why: Option<Pin>) {
        let mut pinned = self.pinned.lock();
        if why.is_none() && pinned.is_none() {
            return;
        }
        let pinned = pinned.get_or_insert_default();
        if let Some(why) = why
            && pinned.stays.is_none_or(|(before, _)| before != why)
        {
            info!(
                session = %self.id, client = %self.client, database = %self.database(),
                reason = why.as_str(), "the session cannot move to the version in force"
            );
        }
        pinned.stays = why.map(|why| (why, Instant::now()));
    }

    /// Signals the session to move if its current server connection satisfies `predicate`,
    /// unless it has found a moment ago that it cannot.
    pub fn signal_move(&self, predicate: impl FnOnce(&Held) -> bool) -> bool {
        let stays = self.pinned.lock().as_ref().and_then(|p| p.stays);
        let tried = stays.is_some_and(|(_, at)| at.elapsed() < MOVE_AGAIN);
        !tried && self.signal_if_holding(Signal::Move, predicate)
    }
}
