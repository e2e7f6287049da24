//! Moving to a connection of the generation in force.

use std::future::pending;
use std::io;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{Hub, Routes, deliver};
use crate::pool::Lease;
use crate::pool::listener::line::Line;
use crate::pool::listener::{Shared, for_each_channel};
use crate::upstream::QueryError;

/// How long an older connection may take to deliver what came before the mark.
const HANDOVER: Duration = Duration::from_secs(30);
/// The pause between two attempts to get a connection of the generation in force.
const RETRY: Duration = Duration::from_millis(500);

impl Hub {
    /// If the connection is of an older generation, waits for another one in the
    /// pool's queue.
    pub(super) fn look_for_successor(&mut self, after: Duration) {
        if self.line.as_ref().is_none_or(|l| l.lease.is_current()) {
            return;
        }
        let pool = self.pool.clone();
        self.successor = Some(Box::pin(async move {
            sleep(after).await;
            loop {
                let lease = match pool.upgrade() {
                    Some(pool) => pool.checkout(None).await,
                    None => pending().await,
                };
                match lease {
                    Ok(lease) if lease.is_current() => return lease,
                    Ok(_) | Err(_) => sleep(RETRY).await,
                }
            }
        }));
    }

    /// Moves to a new connection, which listens before the old one stops. A mark
    /// tells which of the two delivers what.
    pub(super) async fn move_to(&mut self, lease: Lease) {
        self.successor = None;
        let Some(mut old) = self.line.take() else {
            return;
        };
        let (shared, routes) = (self.shared.clone(), &self.routes);
        let mark = shared.mark(None);
        let (new, behind) = match listen_beside(&shared, routes, lease, mark).await {
            Ok(listening) => listening,
            Err(error) => {
                warn!("the new connection to listen on failed: {error}");
                self.line = Some(old);
                self.look_for_successor(RETRY);
                return;
            }
        };
        let rest = timeout(HANDOVER, deliver_up_to(&shared, routes, &mut old, mark)).await;
        if let Err(error) =
            rest.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
        {
            self.line = Some(new);
            return self.lost(&error);
        }
        old.lease.check_in_after_cleaning(false);
        for message in behind {
            deliver(&shared, routes, &message);
        }
        info!(pid = %new.lease.backend().pid, "the clients' LISTEN has moved to this server connection");
        self.line = Some(new);
        // Another version may have been adopted in between.
        self.look_for_successor(Duration::ZERO);
    }
}

/// Listens on another connection as well, and sends the mark: the connection, and
/// what it has heard behind the mark.
async fn listen_beside(
    shared: &Shared,
    routes: &Routes,
    lease: Lease,
    mark: u64,
) -> Result<(Line, Vec<Box<[u8]>>), QueryError> {
    let mut new = Line::open(lease, |_| {}).await?;
    let listen = for_each_channel("LISTEN", routes.keys());
    let sql = format!("{listen}{}", shared.send_mark(mark));
    let (mut passed, mut behind) = (false, Vec::new());
    let hear = |message: &[u8]| {
        if passed {
            behind.push(message.into());
        } else {
            passed = shared.read_mark(message) == Some(mark);
        }
    };
    new.run(&sql, hear).await?;
    match passed {
        true => Ok((new, behind)),
        false => Err(QueryError::Protocol), // the mark went missing
    }
}

/// Delivers what the old connection hears, up to the mark.
async fn deliver_up_to(
    shared: &Shared,
    routes: &Routes,
    old: &mut Line,
    mark: u64,
) -> Result<(), QueryError> {
    loop {
        let message = old.next().await?;
        if shared.read_mark(&message) == Some(mark) {
            return Ok(());
        }
        deliver(shared, routes, &message);
    }
}
