//! When a server connection is taken into use, and when it is given up.

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use super::from_client::{FromClient, Restored};
use super::from_server::Certainty;
use super::{Awaits, Relay, Totals, Watch};
use crate::audit::{CredentialRef, LeaseTotals, Record, ServerRef};
use crate::pool::{Lease, PoolMode, Settings, Told};
use crate::session::greet::{APPLICATION_NAME, application_name, name_client};
use crate::session::registry::Held;
use crate::upstream::Quiet;
use crate::wire::notice::{MIN_MESSAGES, gets_notices};
use crate::wire::tag::status;
use crate::wire::{ClientError, ClientNotice, message};

/// The server connection of a lease, as records name it.
pub fn server_ref(lease: &Lease) -> ServerRef {
    let backend = lease.backend();
    ServerRef {
        host: backend.target.host.clone(),
        port: backend.target.port,
        pid: Some(backend.pid.0),
    }
}

impl Relay {
    /// Takes a server connection into use; its settings are brought up to date in front of
    /// the client's first message.
    pub fn begin(&mut self, mut lease: Lease) {
        self.handle.hold(Some(Held {
            backend: lease.backend().clone(),
            generation: lease.generation.clone(),
        }));
        self.conversation.from_server.begin();
        debug_assert!(!self.is_first_use(&lease), "it has its record before");
        let pid = lease.backend().pid.0;
        self.handle.lease_begins(lease.generation.number, pid);
        if let Some(leases) = &mut self.leases {
            leases.began = Some(Instant::now());
        }
        self.bring_up_to_date(&mut lease);
        self.conversation.from_client.watch.ask |= self.profile.temporary;
        self.lease = Some(lease);
        self.awaits = Awaits::Nothing;
    }

    /// Takes a connection into use, if the rule and the pool have one at this instant.
    pub(super) fn begin_at_once(&mut self) -> bool {
        let handle = &self.handle;
        let Some(lease) = handle.pool.try_checkout(&handle.client, &self.quota) else {
            return false;
        };
        if self.is_first_use(&lease) {
            self.unrecorded = Some(lease);
            return false;
        }
        self.begin(lease);
        true
    }

    /// The connection that [`begin_at_once`](Self::begin_at_once) had, and that this session may
    /// use when that is recorded.
    pub fn take_unrecorded(&mut self) -> Option<Lease> {
        self.unrecorded.take()
    }

    /// Whether the session uses the version of this connection for the first time.
    pub fn is_first_use(&self, lease: &Lease) -> bool {
        !self.used.contains(&lease.generation.number)
    }

    /// Notes that the first use of a version is recorded.
    pub fn note_use(&mut self, lease: &Lease, credential: CredentialRef) {
        let generation = lease.generation.number;
        self.used.push(generation);
        self.handle.use_begins(generation, credential);
    }

    /// Takes a connection into use that is this session's alone, to its end.
    pub fn dedicate(&mut self, lease: Lease) {
        self.mode = PoolMode::Session;
        self.moves = false;
        self.begin(lease);
    }

    /// Puts the client's settings in force on the connection, and tells the client what
    /// differs there from what it was told.
    fn bring_up_to_date(&mut self, lease: &mut Lease) {
        if !Arc::ptr_eq(&lease.profile, &self.profile)
            && let Some(sql) = self.profile.change_from(&lease.profile)
        {
            lease.speaks();
            let out = self.to_server.buffer();
            let replies = &mut self.conversation.replies;
            FromClient::ask(&sql, out, replies, &mut lease.prepared);
        } else if !self.told.is(lease.reported()) {
            // The server has changed something, or it is otherwise on this connection.
            let out = self.to_client.buffer();
            self.told.write_changes(lease.reported(), out);
            self.told = self.handle.pool.facts.told(lease.reported());
        }
        lease.profile = self.profile.clone();
    }

    /// Sets what the client expects on the connection that it keeps, where that is not in
    /// force: mostly its own time limits, which must not limit questions of pgvalet's.
    pub fn catch_up(&mut self) {
        if let Some(mut lease) = self.lease.take() {
            self.bring_up_to_date(&mut lease);
            self.lease = Some(lease);
        }
    }

    /// Tells the client what the server has reported in answer to questions of pgvalet's.
    /// `before`: what the client was told.
    pub fn tell_changes(&mut self, before: &Arc<Told>) {
        let Some(lease) = &self.lease else { return };
        let reported = lease.reported();
        if !before.is(reported) {
            before.write_changes(reported, self.to_client.buffer());
        }
        self.told = self.handle.pool.facts.told(reported);
    }

    /// What the client was told: all that its server connection has reported so far.
    pub fn note_told(&mut self) -> Arc<Told> {
        if let Some(lease) = &self.lease
            && !self.told.is(lease.reported())
        {
            self.told = self.handle.pool.facts.told(lease.reported());
        }
        self.told.clone()
    }

    /// Answers with an error what needs a server connection, and the session goes on, as
    /// Postgres does with a query that is cancelled.
    pub fn refuse(&mut self, error: &ClientError) {
        let Some(&tag) = self.client_input.first() else {
            return;
        };
        let out = self.to_client.buffer();
        error.error(out);
        if self.conversation.from_client.refuse(tag) {
            message::ready_for_query(out, status::IDLE);
        }
        self.awaits = Awaits::Nothing;
    }

    /// Tells the client something while it waits for a server connection, unless it wants
    /// no notices.
    pub fn give_notice(&mut self, notice: &ClientNotice) {
        let level = self.profile.settings().get(MIN_MESSAGES);
        if gets_notices(level.map(|level| &**level)) {
            notice.write(self.to_client.buffer());
        }
    }

    /// Has the relay begin with what the client said before it was greeted.
    pub fn begin_with(&mut self, early: Vec<u8>) {
        self.received += early.len() as u64;
        self.client_input = early;
        self.look_again();
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
        if kept != self.kept {
            self.handle.pool.statements.keeps(kept, self.kept);
            self.kept = kept;
        }
        let mut lease = self.lease.take()?;
        if self.conversation.from_client.watch.holds {
            lease.spoil();
        }
        self.record_lease(&lease);
        if !self.told.is(lease.reported()) {
            self.told = self.handle.pool.facts.told(lease.reported());
        }
        Some(lease)
    }

    fn record_lease(&mut self, lease: &Lease) {
        let now = self.traffic();
        let Some(leases) = &mut self.leases else {
            return;
        };
        let Some(began) = leases.began.take() else {
            return;
        };
        // What the client said while it waited for the connection is of this lease.
        let passed = now.since(mem::replace(&mut leases.counted, now));
        let totals = LeaseTotals {
            transactions: passed.transactions,
            bytes_in: passed.received,
            bytes_out: passed.sent,
            duration: began.elapsed(),
        };
        let credential = self
            .handle
            .pool
            .credential_ref(&lease.generation.credential);
        let session = self.handle.session_ref();
        let record = Record::lease(session, credential, server_ref(lease), totals);
        leases.audit.record(record);
    }

    /// Learns from a connection on which all settings are known: the rest of what it reports
    /// is the server's own.
    pub fn note_facts(&mut self) {
        let Some(lease) = &mut self.lease else { return };
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
        let now = Totals {
            transactions: self.transactions(),
            queries: self.conversation.from_client.queries,
            received: self.received,
            sent: self.sent,
        };
        self.handle.count(self.traffic(), ended);
        let before = mem::replace(&mut self.counted, now);
        self.handle.pool.count(
            now.transactions - before.transactions,
            now.queries - before.queries,
            now.received - before.received,
            now.sent - before.sent,
        );
    }

    /// Sets what the client expects from now on.
    pub fn expect(&mut self, mut settings: Settings) {
        let pool = &self.handle.pool;
        if let Some(template) = &pool.database().application_name {
            let own = settings.get(APPLICATION_NAME);
            // These two values have been made of the template already.
            let made = [&self.profile, &self.initial]
                .map(|profile| profile.settings().get(APPLICATION_NAME));
            if own.is_none() || !made.contains(&own) {
                let own = own.map_or("", |own| own);
                let name = application_name(template, own, &self.handle.client);
                settings.insert(APPLICATION_NAME.into(), name);
            }
        }
        name_client(&pool.database(), &self.handle.client, &mut settings);
        self.profile = pool.profiles.intern(settings);
    }

    /// Has the relay deal with what the client has sent while something else was waited for:
    /// it has been read, and nothing else will call for it.
    pub fn look_again(&mut self) {
        self.awaits = Awaits::Nothing;
    }

    /// Has the relay send the statement for which a database had to be vacant.
    pub fn vacated(&mut self) {
        self.conversation.from_client.vacated = true;
        self.look_again();
    }

    /// Notes that the server has been asked what the client left; see [`Halt::Settle`](super::Halt::Settle).
    pub fn settled(&mut self) {
        self.ask = false;
        if let Some(lease) = &self.lease {
            let settings = self.profile.parse_settings(lease.defaults);
            self.conversation.from_client.note_parse_settings(&settings);
        }
    }

    /// The lease, and what the texts of the session's statements may have left there.
    pub fn lease_and_watch(&mut self) -> Option<(&mut Lease, &Watch)> {
        Some((self.lease.as_mut()?, &self.conversation.from_client.watch))
    }

    /// Keeps the lease beyond the end of the transaction.
    pub fn stay(&mut self) {
        self.count(false);
    }
}
