//! A session at work, from its greeting to its goodbye.
//!
//! The relay moves bytes until something comes up that it cannot do by itself ([`Halt`]):
//! that is done here, and the relay goes on.

mod checkout;
mod left;
mod migrate;
mod relisten;
mod settle;
mod vacate;

use std::time::Instant;

use tracing::debug;

use super::greet::{Failed, Greeted};
use super::registry::Signal;
use super::relay::{Halt, Relay, server_ref};
use super::serve::Session;
use crate::audit::Record;
use crate::net::Stream;
use crate::pool::{Lease, Profile};
use crate::wire::ClientError;
use crate::wire::message::ErrorFields;

/// How a session ends; without an error where its client has left, or was told already.
pub(super) type End = Result<(), ClientError>;

impl Session {
    /// Relays until the session ends, and says goodbye. `early`: what the client said before
    /// it was greeted.
    pub async fn run(&self, stream: Stream, greeted: Greeted, early: Vec<u8>) {
        let (mut relay, lease) = self.relay(stream, greeted);
        let begun = match lease {
            Some(lease) => Box::pin(self.dedicate(&mut relay, lease)).await,
            None => Ok(()),
        };
        relay.begin_with(early);
        self.go_on(&mut relay, begun).await;
    }

    /// [`run`](Self::run) from its first message on, or from where it was in another process.
    pub async fn go_on(&self, relay: &mut Relay, begun: End) {
        let end = match begun {
            Ok(()) => self.attend(relay).await,
            Err(error) => Err(error),
        };
        if relay.has_moved() {
            return;
        }
        // The server connection goes first: somebody may be waiting for it.
        self.release(relay);
        self.say_goodbye(relay, end).await;
    }

    /// The relay of a session that has been greeted, and the connection that is its alone.
    fn relay(&self, stream: Stream, greeted: Greeted) -> (Relay, Option<Lease>) {
        let (profile, told, lease) = match greeted {
            Greeted::Pooled(profile, told) => (profile, told, None),
            Greeted::Dedicated(lease) => {
                let told = self.pool().facts.told(lease.reported());
                (Profile::initial(), told, Some(lease))
            }
        };
        let mut relay = Relay::new(
            stream,
            self.handle.clone(),
            self.quota.clone(),
            profile,
            told,
        );
        if self.context.audit.wants_leases() {
            relay.record_leases(&self.context.audit);
        }
        (relay, lease)
    }

    async fn dedicate(&self, relay: &mut Relay, lease: Lease) -> End {
        self.record_use(relay, &lease).await?;
        relay.dedicate(lease);
        Ok(())
    }

    /// Does what the relay halts for, until the session ends. What is rare is boxed, so that
    /// the task of an idle session is small.
    async fn attend(&self, relay: &mut Relay) -> End {
        let mut asked = Instant::now();
        loop {
            match relay.run().await {
                Halt::NeedServer => {
                    if !Box::pin(self.checkout(relay)).await? {
                        return Ok(());
                    }
                }
                Halt::Vacate(database) => Box::pin(self.vacate(relay, &database)).await,
                Halt::Asked(Signal::Move) => {
                    if let Err(end) = Box::pin(self.migrate(relay)).await {
                        return end;
                    }
                }
                Halt::Asked(Signal::Depart) => {
                    self.handle.forget(Signal::Depart);
                    if Box::pin(self.depart(relay)).await {
                        return Ok(());
                    }
                }
                Halt::Asked(signal) => return Err(signal.farewell()),
                Halt::Settle => {
                    if !Box::pin(self.settle(relay, &mut asked)).await {
                        return Err(ClientError::UpstreamLost);
                    }
                }
                Halt::Goodbye | Halt::ClientGone => return Ok(()),
                Halt::ServerGone if relay.saw_fatal() => {
                    // The server has said why.
                    let last = relay.last_word();
                    Box::pin(relay.farewell(&last)).await;
                    return Ok(());
                }
                Halt::ServerGone => return Err(ClientError::UpstreamLost),
                Halt::SettingsRefused(fields) => {
                    if let Some(why) = start_over(relay, fields) {
                        Box::pin(relay.farewell(&why)).await;
                        return Ok(());
                    }
                }
                Halt::Violation(error) => return Err(error),
            }
        }
    }

    /// Gives up the server connection at the end of the session: it is cleaned where that is
    /// possible, and closed elsewhere.
    fn release(&self, relay: &mut Relay) {
        let ready = relay.at_ready();
        let in_transaction = relay.in_transaction();
        let Some(lease) = relay.end() else { return };
        if !ready {
            drop(lease); // closed: nobody knows what goes on there
        } else if !lease.is_quiet() || in_transaction || relay.holding.is_by_session() {
            lease.check_in_after_cleaning(in_transaction);
        } // else it is as it was lent
    }

    /// Tells the client why its session ends, where it does not know, and records the end.
    async fn say_goodbye(&self, relay: &mut Relay, end: End) {
        let why = end.err().map(Failed::Client);
        if let Some(why) = &why {
            let mut out = Vec::new();
            why.fatal(&mut out);
            Box::pin(relay.farewell(&out)).await;
        }
        self.record_end(Some(relay), why.as_ref());
    }

    /// Records the first lease of this session on a version, before anything of the client goes
    /// there.
    ///
    /// # Errors
    /// It cannot be recorded, and must not happen then.
    async fn record_use(&self, relay: &mut Relay, lease: &Lease) -> End {
        if !relay.is_first_use(lease) {
            return Ok(());
        }
        let credential = self.pool().credential_ref(&lease.generation.credential);
        let session = self.handle.session_ref();
        let record = Record::credential_use(session, credential.clone(), server_ref(lease));
        let admitted = self.context.audit.admit(record).await;
        admitted.map_err(|_| ClientError::AuditUnavailable)?;
        relay.note_use(lease, credential);
        Ok(())
    }
}

/// Gives up a connection that has refused the client's settings, before anything of the client
/// was sent there. Returns the client's farewell if no other connection would do any better.
///
/// What an earlier client did there may be the reason: Postgres refuses `temp_buffers` once a
/// session has used temporary tables (check_temp_buffers, variable.c), and DISCARD ALL does not
/// change that.
fn start_over(relay: &mut Relay, why: ErrorFields) -> Option<Vec<u8>> {
    const QUERY_CANCELED: &str = "57014";
    let worn = relay.holding.lease().is_some_and(|lease| lease.worn);
    let cancelled = why.sqlstate == QUERY_CANCELED;
    let another = cancelled || worn && relay.holding.is_refused();
    if !relay.holding.is_setting_up() || !another {
        let mut out = Vec::new();
        Failed::Parameter(why).fatal(&mut out);
        return Some(out);
    }
    if let Some(lease) = relay.end() {
        debug!(
            pid = %lease.backend().pid,
            "closing a connection that refuses a client's settings: {}", why.message
        );
        drop(lease); // closed, because it is not proven to be quiet
    }
    relay.starts_over();
    if cancelled {
        // The client's cancel request was for the message that waits.
        relay.refuse(&ClientError::Cancelled);
    }
    None
}
