//! When a server connection is taken into use, and when it is given up.

use std::sync::Arc;

use super::from_client::{FromClient, Restored};
use super::from_server::Certainty;
use super::replies::Replies;
use super::server_wire::ServerWire;
use super::statistics::Totals;
use super::{Relay, Watch};
use crate::audit::CredentialRef;
use crate::pool::{Lease, Settings, Told};
use crate::session::registry::Held;
use crate::upstream::{AT_ONCE, Quiet};

impl Relay {
    /// Begins anew without a server connection, for a message of which nothing was sent.
    pub fn starts_over(&mut self) {
        self.conversation.replies = Replies::default();
        self.server = ServerWire::default();
        self.client.look_again();
    }

    /// Takes a server connection into use; its settings are brought up to date in front of
    /// the client's first message.
    pub fn begin(&mut self, lease: Lease) {
        self.handle.hold(Some(Held {
            backend: lease.backend().clone(),
            generation: lease.generation.clone(),
        }));
        self.conversation.from_server.begin();
        debug_assert!(!self.is_first_use(&lease), "it has its record before");
        let pid = lease.backend().pid.0;
        self.handle.lease_begins(lease.generation.number, pid);
        self.records.lease_begins();
        self.holding.begin(lease);
        self.bring_up_to_date();
        if self.conversation.replies.is_setting_up() {
            self.holding.sets_up();
        }
        let temporary = self.expected.profile().temporary;
        self.conversation.from_client.watch.ask |= temporary;
        self.client.look_again();
    }

    /// Takes a connection into use, if the rule and the pool have one at this instant.
    pub(super) fn begin_at_once(&mut self) -> bool {
        let Some(lease) = self.holding.try_checkout(&self.handle) else {
            return false;
        };
        if self.is_first_use(&lease) {
            self.holding.set_aside(lease);
            return false;
        }
        self.begin(lease);
        true
    }

    /// Whether the session uses the version of this connection for the first time.
    pub fn is_first_use(&self, lease: &Lease) -> bool {
        self.records.is_first_use(lease)
    }

    /// Notes that the first use of a version is recorded.
    pub fn note_use(&mut self, lease: &Lease, credential: CredentialRef) {
        let generation = lease.generation.number;
        self.records.note_use(generation);
        self.handle.use_begins(generation, credential);
    }

    /// Takes a connection into use that is this session's alone, to its end.
    pub fn dedicate(&mut self, lease: Lease) {
        self.holding.dedicate();
        self.begin(lease);
    }

    /// Puts the client's settings in force on the connection that it holds, and tells the client
    /// what differs there from what it was told.
    ///
    /// On a connection that the client keeps, these are mostly its own time limits, which must
    /// not limit questions of pgvalet's.
    pub fn bring_up_to_date(&mut self) {
        let Some(lease) = self.holding.lease_mut() else {
            return;
        };
        if let Some(sql) = self.expected.change_from(lease) {
            lease.speaks();
            let out = self.server.buffer();
            let replies = &mut self.conversation.replies;
            let sql = match sql.contains("SELECT") {
                true => format!("{AT_ONCE}{sql}"),
                false => sql,
            };
            FromClient::ask(&sql, out, replies, &mut lease.prepared);
        } else if !self.expected.knows(lease) {
            // The server has changed something, or it is otherwise on this connection.
            let out = self.client.buffer();
            self.expected.told().write_changes(lease.reported(), out);
            self.expected.note_told(lease, &self.handle.pool.facts);
        }
        lease.profile = self.expected.profile().clone();
    }

    /// What the client was told: all that its server connection has reported so far.
    pub fn note_told(&mut self) -> Arc<Told> {
        if let Some(lease) = self.holding.lease() {
            self.expected.note_told(lease, &self.handle.pool.facts);
        }
        self.expected.told().clone()
    }

    /// Gives the lease up; the caller decides what becomes of its connection.
    pub fn end(&mut self) -> Option<Lease> {
        // Under the lock of the handle, before anybody else can have it.
        self.handle.hold(None);
        self.count(true);
        self.conversation.replies.shrink();
        let from_client = &mut self.conversation.from_client;
        from_client.listens.restored = Restored::No;
        from_client.lease_ends();
        let kept = from_client.kept();
        self.statistics.keep(kept, &self.handle.pool);
        let mut lease = self.holding.end()?;
        lease.worn = true;
        if self.conversation.from_client.watch.holds {
            lease.spoil();
        }
        let traffic = self.traffic();
        self.records.lease_ends(&lease, &self.handle, traffic);
        self.expected.note_told(&lease, &self.handle.pool.facts);
        Some(lease)
    }

    /// Learns from a connection on which all settings are known: the rest of what it reports
    /// is the server's own.
    pub fn note_facts(&mut self) {
        let Some(lease) = self.holding.lease_mut() else {
            return;
        };
        let now = lease.reported().digest();
        if lease.seen != now {
            let (profile, reported) = (&lease.profile, lease.reported());
            self.handle.pool.facts.reports(profile, reported);
            lease.seen = now;
        }
    }

    /// The proof that the server connection owes nobody an answer.
    pub(super) fn quiet(&self) -> Option<Quiet> {
        let from_server = &self.conversation.from_server;
        let certain = from_server.certainty != Certainty::Doubtful;
        Quiet::by_accounts(!self.at_rest(), certain, from_server.status)
    }

    /// Adds to the pool's statistics what has come since the last time.
    /// `ended`: with that the lease ends.
    pub(super) fn count(&mut self, ended: bool) {
        self.handle.count(self.traffic(), ended);
        let now = self.totals();
        self.statistics.count(now, &self.handle.pool);
    }

    /// All that has passed through the session, as the pool counts it.
    pub(super) fn totals(&self) -> Totals {
        Totals {
            transactions: self.transactions(),
            queries: self.conversation.from_client.queries,
            received: self.client.received(),
            sent: self.client.sent(),
        }
    }

    /// Notes the settings that the client expects from now on.
    pub fn expect(&mut self, settings: Settings) {
        let (pool, client) = (&self.handle.pool, &self.handle.client);
        self.expected.set(settings, pool, client);
    }

    /// Notes that the server has been asked what the client left there; see
    /// [`Halt::Settle`](super::Halt::Settle).
    pub fn settled(&mut self) {
        self.holding.asked();
        if let Some(lease) = self.holding.lease() {
            let settings = self.expected.profile().parse_settings(lease.defaults);
            self.conversation.from_client.note_parse_settings(&settings);
        }
    }

    /// Notes that the server connection holds what ends only with it.
    pub fn ends_with_lease(&mut self) {
        self.conversation.from_client.watch.holds = true;
    }

    /// The lease, and what the texts of the session's statements may have left there.
    pub fn lease_and_watch(&mut self) -> Option<(&mut Lease, &Watch)> {
        let watch = &self.conversation.from_client.watch;
        Some((self.holding.lease_mut()?, watch))
    }

    /// Keeps the lease beyond the end of the transaction.
    pub fn stay(&mut self) {
        self.count(false);
    }
}
