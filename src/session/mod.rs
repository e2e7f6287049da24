//! One client, from accept to goodbye.
//!
//! * `handshake` TLS and the start-up packet
//! * `door`      those who are not known yet: how many, and how often they are denied
//! * `admit`     from accept to a session or a refusal, under one deadline
//! * `ask_token` a token, as a password or by SASL
//! * `start`     parameters, greeting
//! * `limits`    how long a client may take
//! * `relay`     what a session holds, when a lease begins and ends; its data path
//! * `frontend`  the client's messages; `backend` the server's
//! * `relisten`  what it listens on moves with it
//! * `revoke`    sessions whose access has ended
//! * `replies`   what the server still owes
//! * `settle`    what a client left on a server connection
//! * `migrate`   a session of session mode moves to the generation in force
//! * `metrics`   what sessions measure
//! * `options`   keys of `[listen]` about sessions
//! * `context`   what all sessions share, and how others reach one

mod admit;
pub(crate) mod ask_token;
mod backend;
#[cfg(feature = "bench")]
pub mod bench;
mod context;
mod door;
mod frontend;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod handshake;
mod limits;
mod metrics;
mod migrate;
mod options;
mod pending;
mod relay;
mod relisten;
mod replies;
mod revoke;
mod settle;
mod start;

#[cfg(test)]
mod tests;

pub use self::metrics::SessionMetrics;
pub use admit::serve;
pub use context::{Context, FrontendPid, Handle, Held, PIN_REASONS, Routes, Sessions, Signal, Tls};
pub use door::Door;
pub use limits::{Overdue, Sweep};
pub use options::{Guard, Revoke};
pub use revoke::Cause;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::audit::{Event, OnAuditFailure, Outcome, Record, ServerRef};
use crate::metrics::Gauge;
use crate::net::Stream;
use crate::pool::{Generation, Lease, Pool, PoolMode, Profile, Quota, Told};
use crate::upstream::{Backend, Quiet};
use crate::wire::startup::Startup;
use crate::wire::tag::status;
use crate::wire::{ClientError, login, message};
use admit::{Admitted, refuse};
use limits::Phase;
use relay::{Halt, Relay};
use start::Failed;

/// What a client is told that is asked to end.
fn asked_to_end(signal: Signal) -> ClientError {
    match signal {
        Signal::DrainDeadline | Signal::DrainNow => ClientError::DrainDeadline,
        Signal::Revoked | Signal::RevokedNow => ClientError::Revoked,
        Signal::IdleClient => ClientError::IdleClient,
        Signal::IdleInTransaction => ClientError::IdleInTransaction,
        Signal::QueryTimeout => ClientError::QueryTimeout,
        _ => ClientError::ShuttingDown,
    }
}

/// What a session that was greeted begins with.
enum Greeted {
    /// Settings to be in force on whatever server connection it gets, and what it
    /// was told.
    Pooled(Arc<Profile>, Arc<Told>),
    /// A server connection for itself alone.
    Dedicated(Lease),
}

/// A client that was let in.
struct Session {
    context: Arc<Context>,
    handle: Arc<Handle>,
    pool: Arc<Pool>,
    /// What its rule's clients may hold of the pool.
    quota: Quota,
    began: Instant,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.context.sessions.remove(self.handle.pid);
    }
}

/// A session whose client has been greeted.
struct Begun {
    session: Box<Session>,
    stream: Stream,
    greeted: Greeted,
    /// Of the clients that there are.
    counted: Counted,
    _permit: OwnedSemaphorePermit,
}

impl Begun {
    async fn relay(self) {
        let counted = self.counted;
        self.session.relay(self.stream, self.greeted).await;
        drop(counted);
    }
}

/// A client of the gauge, until it is dropped.
struct Counted(Gauge);

impl Counted {
    fn new(gauge: Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl Admitted {
    /// Recorded and greeted. `None`: it has ended.
    async fn begin(mut self: Box<Self>) -> Option<Begun> {
        let session = &self.session;
        if let Err(()) = session.record_start(self.record).await {
            let error = Failed::Client(ClientError::AuditUnavailable);
            session.context.metrics.denial("audit");
            refuse(&session.context, self.stream, |out| error.fatal(out)).await;
            return None;
        }
        let metrics = &session.context.metrics;
        let clients = metrics.clients(&self.grant.database.name, &self.grant.client.name);
        let counted = Counted::new(clients);
        let greeted = tokio::select! {
            greeted = session.greet(&mut self.stream, &self.startup, self.settings) => greeted,
            signal = session.handle.signal_arrives() => Err(asked_to_end(signal).into()),
        };
        match greeted {
            Ok(greeted) => Some(Begun {
                session: self.session,
                stream: self.stream,
                greeted,
                counted,
                _permit: self.permit,
            }),
            Err(failed) => {
                refuse(&session.context, self.stream, |out| failed.fatal(out)).await;
                session.record_end(None, Some(&failed.reason()), Some(failed.sqlstate()));
                None
            }
        }
    }
}

impl Session {
    /// `record` says who was let in, and how.
    async fn record_start(&self, mut record: Box<Record>) -> Result<(), ()> {
        record.event = Event::SessionStart;
        record.session = Some(self.handle.id.to_string().into());
        record.outcome = Some(Outcome::Success);
        match self.context.on_audit_failure {
            OnAuditFailure::Continue => {
                self.context.audit.record(record);
                Ok(())
            }
            // No record, no session.
            OnAuditFailure::Deny => self
                .context
                .audit
                .record_durably(record)
                .await
                .map_err(|_| ()),
        }
    }

    fn record_end(&self, relay: Option<&Relay>, reason: Option<&str>, sqlstate: Option<&str>) {
        let mut record = self.handle.record(Event::SessionEnd);
        record.outcome = Some(if sqlstate.is_none() {
            Outcome::Success
        } else {
            Outcome::Failure
        });
        record.reason = reason.map(Into::into);
        record.sqlstate = sqlstate.map(Into::into);
        record.transactions = Some(relay.map_or(0, Relay::transactions));
        record.bytes_in = Some(relay.map_or(0, |r| r.received));
        record.bytes_out = Some(relay.map_or(0, |r| r.sent));
        record.duration_ms = self.began.elapsed().as_millis().try_into().ok();
        self.context.audit.record(record);
    }

    /// AuthenticationOk up to ReadyForQuery. The client asked for no password
    /// and is asked for none.
    async fn greet(
        &self,
        stream: &mut Stream,
        startup: &Startup,
        mut settings: crate::pool::Settings,
    ) -> Result<Greeted, Failed> {
        if let Some(template) = &self.pool.database.application_name {
            let own = settings.get("application_name").map_or("", |own| own);
            let name = start::application_name(template, own, &self.handle.client);
            settings.insert("application_name".into(), name);
        }
        let (greeted, told) = match startup.replication {
            Some(kind) => {
                let client = &self.handle.client;
                let lease =
                    start::replicate(&self.pool, &self.quota, client, kind, &settings).await?;
                let told = self.pool.facts.told(lease.reported());
                self.handle.pin(Some("replication"));
                (Greeted::Dedicated(lease), told)
            }
            None => {
                let profile = self.pool.profiles.intern(settings);
                let told = match self.pool.facts.greeting(&profile) {
                    Some((told, true)) => told,
                    // Rare, and large.
                    _ => Box::pin(start::told(&self.pool, &profile, &self.handle.client)).await?,
                };
                (Greeted::Pooled(profile, told.clone()), told)
            }
        };
        let mut out = Vec::with_capacity(told.greeting.len() + 96);
        message::authentication_ok(&mut out);
        out.extend_from_slice(&told.greeting);
        login::backend_key_data(&mut out, self.handle.pid.0, self.handle.key.bytes());
        message::ready_for_query(&mut out, status::IDLE);
        let sent = stream.say(&out).await;
        sent.map(|()| greeted)
            .map_err(|_| ClientError::UpstreamLost.into())
    }

    async fn relay(&self, stream: Stream, greeted: Greeted) {
        let (profile, told, lease) = match greeted {
            Greeted::Pooled(profile, told) => (profile, told, None),
            Greeted::Dedicated(lease) => {
                let told = self.pool.facts.told(lease.reported());
                (Profile::initial(), told, Some(lease))
            }
        };
        let mut relay = Relay::new(
            stream,
            self.pool.clone(),
            self.handle.clone(),
            profile,
            told,
            self.first_use(),
        );
        relay.quota = self.quota.clone();
        if let Some(lease) = lease {
            relay.dedicate(lease);
        }
        let mut asked = Instant::now();
        let ended: Result<(), ClientError> = loop {
            match relay.run().await {
                Halt::NeedServer => match Box::pin(self.checkout(&mut relay)).await {
                    Ok(true) => {}
                    Ok(false) => break Ok(()),
                    Err(error) => break Err(error),
                },
                Halt::Asked(Signal::Move) => {
                    if let Err(end) = Box::pin(self.migrate(&mut relay)).await {
                        break end;
                    }
                }
                Halt::Settle => {
                    if !Box::pin(self.settle(&mut relay, &mut asked)).await {
                        break Err(ClientError::UpstreamLost);
                    }
                }
                Halt::Goodbye | Halt::ClientGone => break Ok(()),
                Halt::ServerGone if relay.saw_fatal() => {
                    Box::pin(relay.farewell(&[])).await;
                    break Ok(());
                }
                Halt::ServerGone => break Err(ClientError::UpstreamLost),
                Halt::SettingsRefused(fields) => {
                    let mut out = Vec::new();
                    Failed::Parameter(fields).fatal(&mut out);
                    Box::pin(relay.farewell(&out)).await;
                    break Ok(());
                }
                Halt::Violation(error) => break Err(error),
                Halt::Asked(signal) => break Err(asked_to_end(signal)),
            }
        };
        // The server connection first: somebody may be waiting for it.
        self.release(&mut relay);
        match ended {
            Ok(()) => self.record_end(Some(&relay), None, None),
            Err(error) => {
                let mut out = Vec::new();
                error.fatal(&mut out);
                Box::pin(relay.farewell(&out)).await;
                let sqlstate = error.sqlstate().0;
                let reason = match (&error, self.handle.revoked()) {
                    (ClientError::Revoked, Some(why)) => format!("{error}: {why}"),
                    _ => error.to_string(),
                };
                self.record_end(Some(&relay), Some(&reason), Some(sqlstate));
            }
        }
    }

    /// A server connection, within what the rule allows.
    async fn lease(&self) -> Result<Lease, ClientError> {
        let lease = self.pool.checkout_within(&self.quota, &self.handle.client);
        lease
            .await
            .map_err(|e| start::checkout_error(&self.pool, e))
    }

    /// Waits for a server connection. `Ok(false)`: the client is gone; `Ok(true)`:
    /// there is one, or what needed it has been cancelled.
    async fn checkout(&self, relay: &mut Relay) -> Result<bool, ClientError> {
        self.handle.forget_cancel();
        self.handle.activity.set(Phase::Elsewhere, 0, 0);
        tokio::select! {
            lease = self.lease() => {
                relay.begin(lease?);
                Ok(true)
            }
            () = relay.client_leaves() => Ok(false),
            signal = self.handle.signal_arrives() => match signal {
                Signal::Cancel => {
                    self.handle.forget_cancel();
                    relay.refuse(&ClientError::Cancelled);
                    Ok(true)
                }
                signal => Err(asked_to_end(signal)),
            },
        }
    }

    /// Asks the server what the client left there; gives the connection back
    /// if everything can move. `false`: the connection is lost.
    async fn settle(&self, relay: &mut Relay, asked: &mut Instant) -> bool {
        if relay.pinned.is_some() && !relay.must_ask() && asked.elapsed() < settle::ASK_PINNED {
            relay.stay();
            return true;
        }
        let limit = self.pool.database.upstream.connect_timeout;
        // The client's query is over: a cancel that comes now must not hit
        // what pgvalet asks, and one under way has to land first.
        let held = self.handle.held();
        self.handle.hold(None);
        let settled = self.ask_and_move(relay, limit, asked).await;
        if settled && relay.lease.is_some() {
            self.handle.hold(held);
        }
        settled
    }

    async fn ask_and_move(&self, relay: &mut Relay, limit: Duration, asked: &mut Instant) -> bool {
        let before = relay.is_told();
        let Some((lease, watch)) = relay.lease_and_watch() else {
            return true;
        };
        let ask = async {
            lease.backend().cancels_landed().await;
            settle::ask(lease, watch).await
        };
        let Ok(Ok(left)) = timeout(limit, ask).await else {
            return false;
        };
        *asked = Instant::now();
        // Statements of Parse that came or went behind everybody's back.
        if left.copies != lease.prepared.len() {
            lease.prepared.clear();
            lease.untidy = true;
        }
        lease.profile = self.pool.profiles.intern(left.settings.clone());
        relay.tell_changes(&before);
        let expected = settle::expected(relay.initial.settings(), &left.all_settings());
        relay.expect(expected);
        relay.settled();
        relay.note_facts();
        let pin = left.pin();
        let moved = relay.move_listens(left.channels, pin.is_some());
        let pin = match timeout(limit, moved).await {
            Ok(Ok(stays)) => pin.or(stays.then_some("listen")),
            _ => return false,
        };
        relay.pinned = pin;
        self.handle.pin(pin);
        if relay.pinned.is_none()
            && let Some(lease) = relay.end()
        {
            // It was asked, and has answered that.
            if let Some(quiet) = Quiet::by_accounts(false, lease.is_quiet(), status::IDLE) {
                lease.check_in(quiet);
            }
            return true;
        }
        // What it holds is the client's: nobody else gets it as it is.
        if let Some((lease, _)) = relay.lease_and_watch() {
            lease.speaks();
        }
        relay.stay();
        relay.catch_up();
        true
    }

    /// The end of the session: its server connection is cleaned where that is
    /// possible, else closed.
    fn release(&self, relay: &mut Relay) {
        let ready = relay.at_ready();
        let in_transaction = relay.in_transaction();
        let Some(lease) = relay.end() else { return };
        if !ready {
            drop(lease); // closed: nobody knows what goes on there
        } else if !lease.is_quiet() || in_transaction || relay.mode == PoolMode::Session {
            lease.check_in_after_cleaning(in_transaction);
        } // else it is as it was lent
    }

    /// Records the first lease of this session on a version.
    fn first_use(&self) -> relay::FirstUse {
        let audit = self.context.audit.clone();
        let pool = self.pool.clone();
        let handle = self.handle.clone();
        Box::new(move |generation: &Generation, backend: &Backend| {
            let mut record = handle.record(Event::CredentialUse);
            record.outcome = Some(Outcome::Success);
            record.credential = Some(pool.credential_ref(&generation.credential));
            record.server = Some(ServerRef {
                host: backend.target.host.clone(),
                port: backend.target.port,
                pid: Some(backend.pid.0),
            });
            audit.record(record);
        })
    }
}
