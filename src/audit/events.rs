//! One constructor for each event: which fields its records have.

use std::sync::Arc;
use std::time::Duration;

#[cfg(test)]
mod tests;

use super::parts::{CredentialRef, IdentityRef, ServerRef, UseRef};
use super::record::{Event, Outcome, Record};
use super::refs::{Cause, ClientRef, LeaseTotals, SessionRef, SessionTotals};

impl Record {
    /// A client was let in, as session `id`.
    pub fn session_start(id: Arc<str>, client: ClientRef) -> Self {
        Self {
            session: Some(id),
            ..Self::of_client(Event::SessionStart, client)
        }
    }

    /// A session goes on in this process, which has decided about its client again.
    pub fn session_move(id: Arc<str>, client: ClientRef) -> Self {
        Self {
            session: Some(id),
            outcome: Some(Outcome::Success),
            ..Self::of_client(Event::SessionMove, client)
        }
    }

    /// A session of another process is not let in here, and has ended.
    pub fn session_lost(
        id: Arc<str>,
        client: ClientRef,
        reason: &str,
        sqlstate: Option<&str>,
    ) -> Self {
        Self {
            session: Some(id),
            outcome: Some(Outcome::Failure),
            reason: Some(reason.into()),
            sqlstate: sqlstate.map(Into::into),
            ..Self::of_client(Event::SessionEnd, client)
        }
    }

    /// A client was denied. `sqlstate` is what it was told, if it was told anything.
    pub fn session_deny(client: ClientRef, reason: &str, sqlstate: Option<&str>) -> Self {
        Self {
            outcome: Some(Outcome::Failure),
            reason: Some(reason.into()),
            sqlstate: sqlstate.map(Into::into),
            ..Self::of_client(Event::SessionDeny, client)
        }
    }

    /// `count` clients from `source` were denied, of which none has a record of its
    /// own.
    pub fn sessions_denied(source: Arc<str>, reason: &str, count: u64) -> Self {
        Self {
            source: Some(source),
            outcome: Some(Outcome::Failure),
            reason: Some(reason.into()),
            count: Some(count),
            ..Self::new(Event::SessionDeny)
        }
    }

    /// A session ended: by itself, or for a cause.
    pub fn session_end(
        session: SessionRef,
        totals: SessionTotals,
        cause: Option<Cause<'_>>,
    ) -> Self {
        Self {
            outcome: cause.map(|_| Outcome::Failure),
            reason: cause.map(|c| c.reason.into()),
            sqlstate: cause.map(|c| c.sqlstate.into()),
            database: None,
            transactions: Some(totals.transactions),
            bytes_in: Some(totals.bytes_in),
            bytes_out: Some(totals.bytes_out),
            duration_ms: Some(milliseconds(totals.duration)),
            uses: totals.uses,
            ..Self::of_session(Event::SessionEnd, session)
        }
    }

    /// What a session that goes on has done since its last summary.
    pub fn session_summary(session: SessionRef, uses: Vec<UseRef>) -> Self {
        Self {
            uses,
            ..Self::of_session(Event::SessionSummary, session)
        }
    }

    /// A client gave a server connection back.
    pub fn lease(
        session: SessionRef,
        credential: CredentialRef,
        server: ServerRef,
        totals: LeaseTotals,
    ) -> Self {
        Self {
            credential: Some(credential.short()),
            server: Some(server.short()),
            transactions: Some(totals.transactions),
            bytes_in: Some(totals.bytes_in),
            bytes_out: Some(totals.bytes_out),
            duration_ms: Some(milliseconds(totals.duration)),
            ..Self::of_session(Event::Lease, session)
        }
    }

    /// A session leased a connection of a version for the first time.
    pub fn credential_use(
        session: SessionRef,
        credential: CredentialRef,
        server: ServerRef,
    ) -> Self {
        Self {
            credential: Some(credential.short()),
            server: Some(server.short()),
            ..Self::of_session(Event::CredentialUse, session)
        }
    }

    /// A login succeeded, by `mechanism`.
    pub fn server_open(
        database: Arc<str>,
        credential: CredentialRef,
        server: ServerRef,
        mechanism: &str,
    ) -> Self {
        Self {
            outcome: Some(Outcome::Success),
            reason: Some(mechanism.into()),
            server: Some(server),
            ..Self::of_pool(Event::ServerOpen, database, credential)
        }
    }

    /// A login failed.
    pub fn server_fail(
        database: Arc<str>,
        credential: CredentialRef,
        server: ServerRef,
        cause: Cause<'_>,
    ) -> Self {
        Self {
            outcome: Some(Outcome::Failure),
            reason: Some(cause.reason.into()),
            sqlstate: Some(cause.sqlstate.into()),
            server: Some(server),
            ..Self::of_pool(Event::ServerFail, database, credential)
        }
    }

    /// A server connection was closed.
    pub fn server_close(
        database: Arc<str>,
        credential: CredentialRef,
        server: ServerRef,
        reason: &str,
    ) -> Self {
        Self {
            reason: Some(reason.into()),
            server: Some(server),
            ..Self::of_pool(Event::ServerClose, database, credential)
        }
    }

    /// A pool adopted a version.
    pub fn secret_adopt(database: Arc<str>, credential: CredentialRef) -> Self {
        Self {
            outcome: Some(Outcome::Success),
            ..Self::of_pool(Event::SecretAdopt, database, credential)
        }
    }

    /// A pool could not use a secret, or a version of it that was found.
    pub fn secret_fail(
        database: Arc<str>,
        credential: Option<CredentialRef>,
        reason: &str,
    ) -> Self {
        Self {
            database: Some(database),
            outcome: Some(Outcome::Failure),
            reason: Some(reason.into()),
            credential,
            ..Self::new(Event::SecretFail)
        }
    }

    /// A database is about to get a new password.
    pub fn rotation_begin(step: &str, credential: CredentialRef) -> Self {
        Self {
            step: Some(step.into()),
            credential: Some(credential),
            ..Self::new(Event::RotationBegin)
        }
    }

    /// A step of a rotation ended.
    pub fn rotation_step(
        step: &str,
        outcome: Outcome,
        reason: &str,
        credential: CredentialRef,
    ) -> Self {
        Self {
            step: Some(step.into()),
            outcome: Some(outcome),
            reason: Some(reason.into()),
            credential: Some(credential),
            ..Self::new(Event::RotationStep)
        }
    }

    /// A version was replaced, and the connections of its generation are closed as
    /// they become idle.
    pub fn drain_start(database: Arc<str>, credential: CredentialRef) -> Self {
        Self::of_pool(Event::DrainStart, database, credential)
    }

    /// The last connection of a replaced version was closed.
    pub fn drain_end(database: Arc<str>, credential: CredentialRef, took: Duration) -> Self {
        Self {
            duration_ms: Some(milliseconds(took)),
            ..Self::of_pool(Event::DrainEnd, database, credential)
        }
    }

    /// Somebody did something in the console or by the admin listener, or tried to. `database`:
    /// the one it is about.
    pub fn admin(
        by: SessionRef,
        database: Option<&str>,
        action: &str,
        outcome: Outcome,
        reason: Option<&str>,
    ) -> Self {
        Self {
            session: (!by.id.is_empty()).then(|| by.id.clone()),
            database: database.map(Into::into),
            action: Some(action.into()),
            outcome: Some(outcome),
            reason: reason.map(Into::into),
            source: Some(by.source.clone()),
            via: by.via.clone(),
            ..Self::of_session(Event::Admin, by)
        }
    }

    /// The embedded store's API was called. `failure` is the kind of error that it
    /// answered with.
    pub fn store_call(
        identity: Option<Arc<IdentityRef>>,
        source: Option<&str>,
        failure: Option<&str>,
        call: serde_json::Value,
    ) -> Self {
        Self {
            identity,
            source: source.map(Into::into),
            outcome: Some(match failure {
                None => Outcome::Success,
                Some(_) => Outcome::Failure,
            }),
            reason: failure.map(Into::into),
            call: Some(Box::new(call)),
            ..Self::new(Event::StoreCall)
        }
    }

    fn of_client(event: Event, client: ClientRef) -> Self {
        let (name, rule) = client.rule.unzip();
        Self {
            client: name,
            identity: client.identity,
            source: Some(client.source),
            via: client.via,
            database: client.database,
            requested_user: client.requested_user,
            application_name: client.application_name,
            tls: client.tls,
            reference: client.reference,
            rule,
            ..Self::new(event)
        }
    }

    fn of_session(event: Event, session: SessionRef) -> Self {
        Self {
            session: Some(session.id),
            client: Some(session.client),
            database: Some(session.database),
            ..Self::new(event)
        }
    }

    fn of_pool(event: Event, database: Arc<str>, credential: CredentialRef) -> Self {
        Self {
            database: Some(database),
            credential: Some(credential),
            ..Self::new(event)
        }
    }
}

/// Whole milliseconds, as records have them.
fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
