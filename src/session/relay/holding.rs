//! What a session holds of its pool, and on which terms.

use crate::pool::{Database, Lease, PoolMode, Quota, SessionMigration};
use crate::session::registry::{Handle, Pin};

/// The lease, and what decides how long it lasts.
pub(in crate::session) struct Holding {
    mode: PoolMode,
    /// A session of session mode that may change its server connection when it is idle.
    moves: bool,
    /// What the clients of its rule may hold of the pool.
    quota: Quota,
    lease: Option<Lease>,
    /// A connection of a generation whose first use is still to be recorded. Boxed, because it is
    /// rare.
    unrecorded: Option<Box<Lease>>,
    /// Why the lease outlives its transactions, if it does.
    pinned: Option<Pin>,
    /// The server has to be asked what the client left there.
    ask: bool,
    /// DISCARD ALL was run, and the session has not come to rest since.
    discarding: bool,
    /// The connection was taken into use for a message that has not been sent yet, because the
    /// client's settings are being put in force.
    setting_up: bool,
    /// The number of connections that have refused the client's settings, one after the other.
    refusals: u8,
}

impl Holding {
    pub(super) fn new(quota: Quota, database: &Database) -> Self {
        Self {
            mode: database.pool_mode,
            moves: database.session_migration == SessionMigration::Safe,
            quota,
            lease: None,
            unrecorded: None,
            pinned: None,
            ask: false,
            discarding: false,
            setting_up: false,
            refusals: 0,
        }
    }

    /// Whether the client keeps its connection from one transaction to the next.
    pub fn is_by_session(&self) -> bool {
        self.mode == PoolMode::Session
    }

    /// Whether transactions of more than one statement are refused.
    pub(super) fn is_by_statement(&self) -> bool {
        self.mode == PoolMode::Statement
    }

    /// Whether the session keeps its connection, but may move to another one when it is idle.
    pub(super) fn may_migrate(&self) -> bool {
        self.moves
    }

    /// Whether the client's connection may change: names of statements are its own, and settings
    /// are watched. Elsewhere it has its connection to the end, and what it leaves there is cleaned
    /// then.
    pub(super) fn may_change(&self) -> bool {
        !self.is_by_session() || self.moves
    }

    /// Makes the next lease this session's alone, to its end.
    pub(super) fn dedicate(&mut self) {
        self.mode = PoolMode::Session;
        self.moves = false;
    }

    /// The connection that the session holds.
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    pub fn lease_mut(&mut self) -> Option<&mut Lease> {
        self.lease.as_mut()
    }

    pub fn has_lease(&self) -> bool {
        self.lease.is_some()
    }

    pub(super) fn begin(&mut self, lease: Lease) {
        debug_assert!(self.lease.is_none(), "a session holds one connection");
        self.lease = Some(lease);
    }

    pub(super) fn end(&mut self) -> Option<Lease> {
        self.setting_up = false;
        self.lease.take()
    }

    /// Notes that the client's settings are being put in force on a connection that was just
    /// taken into use.
    pub(super) fn sets_up(&mut self) {
        self.setting_up = true;
    }

    /// Notes that a message of the client goes to the server.
    #[inline]
    pub(super) fn is_used(&mut self) {
        self.setting_up = false;
        self.refusals = 0;
    }

    /// Notes that a connection has refused the client's settings. `false`: others would, too. Each
    /// one that has refused is closed, so that a client which brings nonsense must not have them
    /// all tried.
    pub fn is_refused(&mut self) -> bool {
        const MOST: u8 = 3;
        self.refusals = self.refusals.saturating_add(1);
        self.refusals < MOST
    }

    /// Whether nothing of the client has been sent on this connection, because its settings are
    /// being put in force.
    pub fn is_setting_up(&self) -> bool {
        self.setting_up
    }

    /// A connection, if the rule and the pool have one at this instant.
    pub(super) fn try_checkout(&self, handle: &Handle) -> Option<Lease> {
        handle.pool.try_checkout(&handle.client, &self.quota)
    }

    /// Sets a connection aside until its first use is recorded.
    pub(super) fn set_aside(&mut self, lease: Lease) {
        self.unrecorded = Some(Box::new(lease));
    }

    /// The connection that was set aside, which this session may use when that is recorded.
    pub fn take_unrecorded(&mut self) -> Option<Lease> {
        self.unrecorded.take().map(|lease| *lease)
    }

    /// Whether the session holds nothing of the pool, and is not bound to hold a connection.
    pub(super) fn is_free(&self) -> bool {
        !self.is_by_session()
            && self.lease.is_none()
            && self.unrecorded.is_none()
            && self.pinned.is_none()
            && !self.ask
    }

    /// Why the lease outlives its transactions, if it does.
    pub fn pinned(&self) -> Option<Pin> {
        self.pinned
    }

    pub fn set_pin(&mut self, pin: Option<Pin>) {
        self.pinned = pin;
    }

    /// Whether a command ran that may have changed what stays on the server connection, so that the
    /// server has to be asked.
    pub fn must_ask(&self) -> bool {
        self.ask
    }

    /// Has the server asked what the client left there, if `reason` holds.
    pub(super) fn ask_if(&mut self, reason: bool) {
        self.ask |= reason;
    }

    /// Notes that the server has been asked, or does not have to be.
    pub(super) fn asked(&mut self) {
        self.ask = false;
    }

    /// Notes that DISCARD ALL was run; see [`is_discarding`](Self::is_discarding).
    pub(super) fn discards(&mut self) {
        self.discarding = true;
    }

    /// DISCARD ALL was run, and the session has not come to rest since.
    pub(super) fn is_discarding(&self) -> bool {
        self.discarding
    }

    pub(super) fn comes_to_rest(&mut self) {
        self.discarding = false;
    }

    /// Forgets which statements are prepared on the connection: that is not known any more.
    pub(super) fn forget_prepared(&mut self) {
        if let Some(lease) = &mut self.lease {
            lease.prepared.clear();
            lease.untidy = true;
        }
    }
}
