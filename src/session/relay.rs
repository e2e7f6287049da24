//! A session at work: what it holds, when a lease begins and ends, what becomes
//! of what the server reports. `flow` moves the bytes.

mod flow;
mod listen;

use std::io;
use std::sync::Arc;
use std::task::{Poll, ready};

use super::backend::{self, Backend, Certainty};
use super::context::{Handle, Held, Signal};
use super::frontend::{Frontend, Restored, Watch};
use super::limits::Phase;
use super::pending::Pending;
use super::replies::{Fencing, Replies, Reply};
use crate::net::{Stream, hang_up};
use crate::pool::{
    Generation, Lease, Pool, PoolMode, Profile, Quota, SessionMigration, Settings, Told,
};
use crate::upstream::{self, Fence, Quiet};
use crate::wire::tag::status;
use crate::wire::{ClientError, message};
use listen::Listening;

/// Why the relay came to a halt.
pub(super) enum Halt {
    /// A message of the client needs a server connection.
    NeedServer,
    /// At rest, but the server has to be asked what the client left there.
    Settle,
    /// The client said goodbye, or has closed its side of the connection, and
    /// what it sent before that is done.
    Goodbye,
    /// The client can be reached no more.
    ClientGone,
    ServerGone,
    /// pgvalet's own settings were refused by the server.
    SettingsRefused(message::ErrorFields),
    Violation(ClientError),
    Asked(Signal),
}

pub(super) struct Relay {
    pub client: Stream,
    pub pool: Arc<Pool>,
    pub handle: Arc<Handle>,
    pub mode: PoolMode,
    /// A session of session mode that may change its server connection when it
    /// is idle: names of statements are its own, and settings are watched, as
    /// in transaction mode.
    pub moves: bool,
    pub lease: Option<Lease>,
    /// What the clients of its rule may hold of the pool.
    pub quota: Quota,
    /// What the client expects to be set.
    pub profile: Arc<Profile>,
    /// What it was told that the server reports.
    pub told: Arc<Told>,
    /// What it brought at start-up: DISCARD ALL and RESET lead back to it.
    pub initial: Arc<Profile>,
    /// Why the lease outlives its transactions, if it does.
    pub pinned: Option<&'static str>,
    front: Frontend,
    back: Backend,
    replies: Replies,
    to_client: Pending,
    to_server: Pending,
    /// Read but not yet dealt with: the head of a message.
    from_client: Vec<u8>,
    from_server: Vec<u8>,
    /// `from_client` may be dealt with now, without reading more.
    retry: bool,
    /// It cannot be, before the server has answered what was sent.
    stalled: bool,
    ask: bool,
    listening: Listening,
    discarding: bool,
    leaving: Leaving,
    probe: Option<flow::Probe>,
    pub received: u64,
    pub sent: u64,
    counted: Totals,
    /// What its named statements keep, as the pool has it, in bytes.
    kept: u64,
    /// Generations this session has used; each is recorded once.
    used: Vec<u64>,
    on_first_use: FirstUse,
}

/// Whether the client will say anything more. What it has said is done all the
/// same, as by Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    No,
    /// It has closed its side, and may yet read what it is answered.
    Silent,
    /// It has said goodbye, and reads nothing.
    Goodbye,
}

const APPLICATION_NAME: &str = "application_name";

/// Told of the first lease of the session on a version.
pub(super) type FirstUse = Box<dyn Fn(&Generation, &upstream::Backend) + Send>;

/// What has been added to the pool's statistics.
#[derive(Default, Clone, Copy)]
struct Totals {
    transactions: u64,
    queries: u64,
    received: u64,
    sent: u64,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.pool.statements.keeps(0, self.kept);
    }
}

impl Relay {
    pub fn new(
        client: Stream,
        pool: Arc<Pool>,
        handle: Arc<Handle>,
        profile: Arc<Profile>,
        told: Arc<Told>,
        on_first_use: FirstUse,
    ) -> Self {
        Self {
            client,
            mode: pool.database.pool_mode,
            moves: pool.database.session_migration == SessionMigration::Safe,
            pool,
            handle,
            lease: None,
            quota: Quota::default(),
            initial: profile.clone(),
            profile,
            told,
            pinned: None,
            front: Frontend::default(),
            back: Backend::default(),
            replies: Replies::default(),
            to_client: Pending::default(),
            to_server: Pending::default(),
            from_client: Vec::new(),
            from_server: Vec::new(),
            retry: false,
            stalled: false,
            ask: false,
            listening: Listening::default(),
            discarding: false,
            leaving: Leaving::No,
            probe: None,
            received: 0,
            sent: 0,
            counted: Totals::default(),
            kept: 0,
            used: Vec::new(),
            on_first_use,
        }
    }

    pub fn transactions(&self) -> u64 {
        self.back.transactions
    }

    /// Between transactions, with nothing under way.
    pub fn at_rest(&self) -> bool {
        self.lease.is_none()
            || (self.replies.is_empty()
                && !self.front.batch_open
                && !self.front.mid_message()
                && self.back.is_idle()
                && self.from_server.is_empty()
                && self.to_server.is_empty())
    }

    /// Whether the session can be ended without breaking off a transaction.
    pub fn may_end(&self) -> bool {
        self.at_rest() || (self.back.streaming && self.back.is_at_boundary())
    }

    /// Nothing is under way, but a transaction may be open.
    pub fn at_ready(&self) -> bool {
        self.replies.is_empty()
            && !self.front.batch_open
            && !self.front.mid_message()
            && self.back.is_at_boundary()
            && self.back.certainty != Certainty::Doubtful
            && self.from_server.is_empty()
            && self.to_server.is_empty()
    }

    pub fn in_transaction(&self) -> bool {
        self.lease.is_some() && self.back.status != status::IDLE
    }

    /// Leaves word of what this session waits for, where anybody looks.
    fn report(&self) {
        if self.handle.limits.is_none() {
            return;
        }
        let phase = self.phase();
        // A statement may begin when the one before it is done, which shows in
        // the answers; of those that a server keeps back until Sync, each has
        // its time.
        let running = match phase {
            Phase::Query => self.replies.running().max(self.front.statements),
            _ => 0,
        };
        let progress = self.front.queries + self.back.answers;
        self.handle.activity.set(phase, progress, running);
    }

    fn awaits_flush(&self) -> bool {
        self.front.flushed && !self.replies.is_empty()
    }

    /// Nothing is left to do for a client that is leaving: the server owes no end
    /// of a batch, or waits for what will not come.
    fn is_done(&self) -> bool {
        self.to_server.is_empty()
            && !self.stalled
            && !self.replies.front_is_own()
            && (self.lease.is_none()
                || !self.replies.owes_a_batch() && !self.awaits_flush()
                || self.replies.is_copying_in()
                || self.back.streaming
                || self.front.mid_message())
    }

    fn phase(&self) -> Phase {
        if self.at_rest() {
            Phase::Idle
        } else if self.at_ready() && self.in_transaction() {
            Phase::Transaction
        } else {
            Phase::Query
        }
    }

    /// Whether a client that was found silent still is.
    fn is_still(&self, signal: Signal) -> bool {
        match signal {
            Signal::IdleClient => self.phase() == Phase::Idle,
            Signal::IdleInTransaction => self.phase() == Phase::Transaction,
            _ => true,
        }
    }

    pub fn saw_fatal(&self) -> bool {
        self.back.fatal
    }

    /// Takes a server connection into use; its settings are brought up to date
    /// in front of the client's first message.
    pub fn begin(&mut self, mut lease: Lease) {
        self.handle.hold(Some(Held {
            backend: lease.backend().clone(),
            generation: lease.generation.clone(),
        }));
        self.back.begin();
        let generation = &lease.generation;
        if !self.used.contains(&generation.number) {
            self.used.push(generation.number);
            (self.on_first_use)(generation, lease.backend());
        }
        self.bring_up_to_date(&mut lease);
        self.front.watch.ask |= self.profile.temporary;
        self.lease = Some(lease);
        self.retry = true;
    }

    fn bring_up_to_date(&mut self, lease: &mut Lease) {
        if !Arc::ptr_eq(&lease.profile, &self.profile)
            && let Some(sql) = self.profile.change_from(&lease.profile)
        {
            lease.speaks();
            let out = self.to_server.buffer();
            Frontend::ask(&sql, out, &mut self.replies, &mut lease.prepared);
        } else if !self.told.is(lease.reported()) {
            // It is told of what the server has changed, or of what is otherwise
            // on this connection.
            let out = self.to_client.buffer();
            self.told.write_changes(lease.reported(), out);
            self.told = self.pool.facts.told(lease.reported());
        }
        lease.profile = self.profile.clone();
    }

    /// What came in answer to questions of pgvalet's own is new to the client.
    pub fn tell_changes(&mut self, before: &Arc<Told>) {
        let Some(lease) = &self.lease else { return };
        let reported = lease.reported();
        if !before.is(reported) {
            before.write_changes(reported, self.to_client.buffer());
        }
        self.told = self.pool.facts.told(reported);
    }

    /// The client knows all that its server connection reports.
    pub fn is_told(&mut self) -> Arc<Told> {
        if let Some(lease) = &self.lease
            && !self.told.is(lease.reported())
        {
            self.told = self.pool.facts.told(lease.reported());
        }
        self.told.clone()
    }

    /// What needs a server connection is answered with an error, and the
    /// session goes on: as Postgres does with a query that is cancelled.
    pub fn refuse(&mut self, error: &ClientError) {
        let Some(&tag) = self.from_client.first() else {
            return;
        };
        let out = self.to_client.buffer();
        error.error(out);
        if self.front.refuse(tag) {
            message::ready_for_query(out, status::IDLE);
        }
        self.retry = true;
    }

    /// A connection, if the rule and the pool have one this instant.
    fn begin_at_once(&mut self) -> bool {
        let Some(lease) = self.pool.try_checkout(&self.handle.client, &self.quota) else {
            return false;
        };
        self.begin(lease);
        true
    }

    /// Takes a connection that is this session's alone, to its end.
    pub fn dedicate(&mut self, lease: Lease) {
        self.mode = PoolMode::Session;
        self.moves = false;
        self.begin(lease);
    }

    /// Gives the lease up; what becomes of its connection is the caller's.
    pub fn end(&mut self) -> Option<Lease> {
        // Under the lock of the handle, before anybody else can have it.
        self.handle.hold(None);
        self.count();
        self.replies.shrink();
        self.front.listens.restored = Restored::No;
        self.front.lease_ends();
        let kept = self.front.kept();
        if kept != self.kept {
            self.pool.statements.keeps(kept, self.kept);
            self.kept = kept;
        }
        let lease = self.lease.take()?;
        if !self.told.is(lease.reported()) {
            self.told = self.pool.facts.told(lease.reported());
        }
        Some(lease)
    }

    /// What is set on the connection is known: the rest of what it reports is the
    /// server's own.
    pub fn note_facts(&mut self) {
        let Some(lease) = &mut self.lease else { return };
        let now = lease.reported().digest();
        if lease.seen != now {
            let (profile, reported) = (&lease.profile, lease.reported());
            self.pool.facts.reports(profile, reported);
            lease.seen = now;
        }
    }

    /// The proof that the server connection owes nobody an answer.
    fn quiet(&self) -> Option<Quiet> {
        let certain = self.back.certainty != Certainty::Doubtful;
        Quiet::by_accounts(!self.at_rest(), certain, self.back.status)
    }

    fn count(&mut self) {
        let now = Totals {
            transactions: self.back.transactions,
            queries: self.front.queries,
            received: self.received,
            sent: self.sent,
        };
        let before = std::mem::replace(&mut self.counted, now);
        self.pool.count(
            now.transactions - before.transactions,
            now.queries - before.queries,
            now.received - before.received,
            now.sent - before.sent,
        );
    }

    fn consider(&mut self, findings: backend::Findings) -> Result<(), Halt> {
        if findings.broken {
            return Err(Halt::ServerGone);
        }
        if let Some(fields) = findings.own_failed {
            return Err(Halt::SettingsRefused(fields));
        }
        if findings.restore {
            self.restore();
        }
        if findings.altered {
            self.pool.defaults_may_have_changed();
        }
        if findings.statement_lost
            && let Some(lease) = &mut self.lease
        {
            lease.untidy = true;
        }
        if self.mode == PoolMode::Session && !self.moves {
            return Ok(());
        }
        if findings.transaction {
            return Err(Halt::Violation(ClientError::TransactionBlock));
        }
        let kept = self.pinned.is_some() || !self.front.listens.shared.is_empty();
        self.ask |= findings.ask || (findings.freed && kept);
        if findings.discarded {
            self.stop_listening();
            self.discarding = true;
            self.profile = self.initial.clone();
            if let Some(lease) = &mut self.lease {
                lease.profile = Profile::initial();
            }
        }
        if findings.restored
            && self.discarding
            && let Some(lease) = &mut self.lease
        {
            lease.profile = self.initial.clone();
        }
        Ok(())
    }

    /// What the client brought at start-up is in force again before it is told
    /// that the server is ready.
    fn restore(&mut self) {
        let name = self.pool.statements.server_name(0); // nobody else's
        let out = self.to_server.buffer();
        self.front.restoring(&self.initial, &name, out);
    }

    /// What the client expects to be set from now on.
    pub fn expect(&mut self, mut settings: Settings) {
        if let Some(template) = &self.pool.database.application_name {
            let own = settings.get(APPLICATION_NAME);
            // Those two have been made of the template already.
            let made = [&self.profile, &self.initial]
                .map(|profile| profile.settings().get(APPLICATION_NAME));
            if own.is_none() || !made.contains(&own) {
                let own = own.map_or("", |own| own);
                let name = super::start::application_name(template, own, &self.handle.client);
                settings.insert(APPLICATION_NAME.into(), name);
            }
        }
        self.profile = self.pool.profiles.intern(settings);
    }

    /// At rest with a lease: in transaction mode the connection goes back.
    fn over(&mut self) -> Result<(), Halt> {
        self.discarding = false;
        let session = self.mode == PoolMode::Session;
        if self.back.certainty == Certainty::Doubtful && (!session || self.moves) {
            self.ask_fence();
            return Ok(());
        }
        if session {
            self.over_in_session_mode();
            return Ok(());
        }
        self.ask |= std::mem::take(&mut self.front.watch.ask);
        if self.back.certainty == Certainty::Fenced {
            self.back.certainty = Certainty::Certain;
            self.ask = true;
            if let Some(lease) = &mut self.lease {
                // Which statements there are is not known any more.
                lease.prepared.clear();
                lease.untidy = true;
            }
        }
        if let Some(lease) = &self.lease {
            // By whom that was changed is not known either.
            self.ask |= !self.told.is(lease.reported());
        }
        if self.ask || self.pinned.is_some() {
            return Err(Halt::Settle);
        }
        let quiet = self.quiet();
        self.note_facts();
        if let Some(lease) = self.end()
            && let Some(quiet) = quiet
        {
            lease.check_in(quiet);
        }
        Ok(())
    }

    /// Asks what shows that nothing else is owed. What the client says next waits.
    fn ask_fence(&mut self) {
        let Some(lease) = &mut self.lease else { return };
        let fence = Fence::new();
        let out = self.to_server.buffer();
        lease.prepared.query(&fence.sql(), out);
        self.replies.push(Reply::Fence(Box::new(Fencing {
            fence,
            begun: false,
        })));
    }

    fn over_in_session_mode(&mut self) {
        if let Some(lease) = &mut self.lease {
            // Whatever it left there is cleaned when it leaves.
            lease.speaks();
        }
        self.count();
        // What it holds is asked for when it moves.
        self.front.watch.ask = false;
        self.ask = false;
    }

    /// What the client has said while something else was waited for has been
    /// read, and nothing else will call for it.
    pub fn look_again(&mut self) {
        self.retry = true;
    }

    /// A command ran that may have changed what stays there.
    pub fn must_ask(&self) -> bool {
        self.ask
    }

    /// The server has been asked; see [`Halt::Settle`].
    pub fn settled(&mut self) {
        self.ask = false;
        if let Some(lease) = &self.lease {
            let settings = self.profile.parse_settings(lease.defaults);
            self.front.parsed_under(&settings);
        }
    }

    /// The lease, and what the texts of the session's statements have shown.
    pub fn lease_and_watch(&mut self) -> Option<(&mut Lease, &Watch)> {
        Some((self.lease.as_mut()?, &self.front.watch))
    }

    /// Sets what the client expects, where that is not so on the connection that
    /// it keeps: its own time limits, mostly, under which nothing of pgvalet's is
    /// to run behind that.
    pub fn catch_up(&mut self) {
        if let Some(mut lease) = self.lease.take() {
            self.bring_up_to_date(&mut lease);
            self.lease = Some(lease);
        }
    }

    /// Keeps the lease beyond the end of the transaction.
    pub fn stay(&mut self) {
        self.count();
    }

    /// What the client is told last, and everything that still waits for it.
    pub async fn farewell(&mut self, last: &[u8]) {
        self.to_client.buffer().extend_from_slice(last);
        let flush = std::future::poll_fn(|cx| {
            loop {
                match ready!(self.to_client.write(cx, &mut self.client)) {
                    Ok(true) => {}
                    Ok(false) => return Poll::Ready(io::Result::Ok(())),
                    Err(e) => return Poll::Ready(Err(e)),
                }
            }
        });
        // A client that does not read is not waited for.
        let flushed = tokio::time::timeout(std::time::Duration::from_secs(5), flush).await;
        if matches!(flushed, Ok(Ok(()))) {
            hang_up(&mut self.client).await;
        }
    }
}
