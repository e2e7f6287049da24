//! The unix socket of a server on this machine, in place of TCP: under load a transaction costs an
//! eighth less by it (docs/PERFORMANCE.md).

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::connect::{Abandoned, at_place};
use super::knock::{Doors, With};
use super::reach::Address;
use super::{ConnectError, Server, SessionAttrs};

/// How long a socket that does not lead to a login with SCRAM is passed over: its rules may be
/// mended meanwhile.
const AGAIN: Duration = Duration::from_secs(60);

/// Since when a socket is passed over, and why.
#[derive(Default)]
pub(super) struct Closed(Mutex<Option<(Instant, String)>>);

impl Closed {
    /// Whether it is passed over now.
    fn is_closed(&self, now: Instant) -> bool {
        let closed = self.0.lock();
        let since = closed.as_ref().map(|(since, _)| *since);
        since.is_some_and(|since| now.saturating_duration_since(since) < AGAIN)
    }

    /// Passes it over for a while. Whether the reason is another one than the last time.
    fn close(&self, now: Instant, why: &str) -> bool {
        let before = self.0.lock().replace((now, why.to_owned()));
        before.is_none_or(|(_, before)| before != why)
    }

    /// It has led to a login. Whether it was passed over before.
    fn open(&self) -> bool {
        self.0.lock().take().is_some()
    }
}

/// Logs in by the socket of a place. `None`: there is none, or it does not lead to a login with
/// SCRAM, and TCP decides what becomes of the login.
///
/// `pg_hba.conf` may have other rules for the socket: `trust` would take any password for the
/// right one, and `peer` takes none.
pub(super) async fn by_shortcut(
    with: With<'_>,
    wanted: SessionAttrs,
    limit: Duration,
    abandoned: &mut Vec<Abandoned>,
) -> Option<Server> {
    let target = with.target.shortcut.as_ref()?;
    let now = Instant::now();
    if with.cache.shortcut.is_closed(now) {
        return None;
    }
    let with = With { target, ..with };
    let doors = Doors::new(with, vec![Address::Unix], (now + limit).into());
    let why = match at_place(target, with, doors, wanted, abandoned).await {
        Ok(server) if server.mechanism.starts_with("scram-sha-256") => {
            if with.cache.shortcut.open() {
                let database = &target.database;
                tracing::info!("prefer_socket of [database.{database}]: {target} is used again");
            }
            return Some(server);
        }
        Ok(server) => {
            let why = format!(
                "it lets pgvalet in by {}, which is not SCRAM",
                server.mechanism
            );
            server.close().await;
            why
        }
        Err(error) if may_be_used_later(&error) => {
            tracing::debug!("the socket of {target} is passed over: {error}");
            return None;
        }
        Err(error) => error.to_string(),
    };
    if with.cache.shortcut.close(now, &why) {
        tracing::info!(
            "prefer_socket of [database.{}]: TCP is used instead of {target}: {why}; it is tried again every {} s",
            target.database,
            AGAIN.as_secs()
        );
    }
    None
}

/// Whether the error says nothing of the way: the server is away, or the password is wrong.
fn may_be_used_later(error: &ConnectError) -> bool {
    let wrong_password =
        matches!(error, ConnectError::Refused { sqlstate, .. } if sqlstate == "28P01");
    error.may_pass() || wrong_password
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_was_passed_over_is_tried_again_after_a_minute() {
        let (closed, start) = (Closed::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!closed.is_closed(at(0)));
        assert!(closed.close(at(0), "it lets in by trust"));
        assert!(closed.is_closed(at(59)) && !closed.is_closed(at(60)));
        // The log says it once.
        assert!(!closed.close(at(60), "it lets in by trust"));
        assert!(closed.is_closed(at(119)) && !closed.is_closed(at(120)));
        assert!(closed.close(at(120), "it lets nobody in"));
        assert!(closed.open() && !closed.open());
        assert!(!closed.is_closed(at(121)));
    }
}
