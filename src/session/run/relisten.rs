//! Moving a session's LISTENs to another server connection, so that no notification is missed
//! and none comes twice.
//!
//! The new connection listens before the old one stops, and a mark is notified on a channel
//! that both listen on. Notifications come in one order on all connections: those before the
//! mark are delivered by the old connection, and those behind it by the new one.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::sleep;

use crate::pool::{Lease, for_each_channel};
use crate::upstream::QueryError;
use crate::wire::message;

/// The time between two looks for the mark.
const LOOK: Duration = Duration::from_millis(5);

/// Makes `new` listen on `channels`, as `old` does; returns the notifications for the client,
/// in order. The future must not be dropped half-way: `old` would go on listening on the
/// mark's channel.
///
/// # Errors
/// [`QueryError`]: `old` listens as before, and still has the notifications it received.
pub(super) async fn relisten(
    old: &mut Lease,
    new: &mut Lease,
    channels: &BTreeSet<Box<str>>,
) -> Result<Vec<Box<[u8]>>, QueryError> {
    let mark: Box<str> = format!("pgvalet_{}", uuid::Uuid::new_v4().simple()).into();
    let result = listen(old, new, channels, &mark).await;
    if result.is_err() {
        let _ = old.ask(&[&format!("UNLISTEN \"{mark}\"")]).await;
        old.forget_heard(|heard| is_mark(heard, &mark));
    }
    result
}

async fn listen(
    old: &mut Lease,
    new: &mut Lease,
    channels: &BTreeSet<Box<str>>,
    mark: &str,
) -> Result<Vec<Box<[u8]>>, QueryError> {
    old.ask(&[&format!("LISTEN \"{mark}\"")]).await?;
    let listen = for_each_channel("LISTEN", channels);
    let send = format!("{listen}LISTEN \"{mark}\"; NOTIFY \"{mark}\"");
    new.ask(&[&send]).await?;
    new.ask(&[&format!("UNLISTEN \"{mark}\"")]).await?;
    while !old.heard().iter().any(|heard| is_mark(heard, mark)) {
        sleep(LOOK).await;
        old.ask(&[]).await?;
    }
    let before = old.take_heard();
    let behind = new.take_heard();
    let before = before.into_iter().take_while(|heard| !is_mark(heard, mark));
    let behind = behind.into_iter().skip_while(|heard| !is_mark(heard, mark));
    Ok(before.chain(behind.skip(1)).collect())
}

fn is_mark(notification: &[u8], mark: &str) -> bool {
    message::read_notification(notification).is_some_and(|(channel, _)| channel == mark)
}
