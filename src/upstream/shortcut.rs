//! The unix socket of a server on this machine, in place of TCP: under load a transaction costs an
//! eighth less by it (docs/PERFORMANCE.md).

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use super::connect::{Abandoned, at_place};
use super::knock::{Doors, With};
use super::reach::Address;
use super::{ConnectError, Server, SessionAttrs};

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
    if with.cache.no_shortcut.load(Relaxed) {
        return None;
    }
    let with = With { target, ..with };
    let doors = Doors::new(with, vec![Address::Unix], Instant::now() + limit);
    let why = match at_place(target, with, doors, wanted, abandoned).await {
        Ok(server) if server.mechanism.starts_with("scram-sha-256") => return Some(server),
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
    with.cache.no_shortcut.store(true, Relaxed);
    tracing::info!(
        "prefer_socket of [database.{}]: TCP is used instead of {target}: {why}",
        target.database
    );
    None
}

/// Whether the error says nothing of the way: the server is away, or the password is wrong.
fn may_be_used_later(error: &ConnectError) -> bool {
    let wrong_password =
        matches!(error, ConnectError::Refused { sqlstate, .. } if sqlstate == "28P01");
    error.may_pass() || wrong_password
}
