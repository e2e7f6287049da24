//! What a session listens on, moved to another server connection: nothing is
//! missed, nothing comes twice.
//!
//! The new connection listens before the old one stops, and a mark is notified
//! on a channel that both listen on. Notifications have one order for
//! everybody: what comes before the mark is the old connection's to deliver,
//! what comes behind it the new one's.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::sleep;

use crate::pool::{Lease, for_each_channel};
use crate::upstream::QueryError;
use crate::wire::message;

/// Between two looks whether the mark has arrived.
const LOOK: Duration = Duration::from_millis(5);

/// Has `new` listen as `old` does; what the client has to be told of, in order.
/// Not to be dropped half-way: `old` would keep the mark's channel.
///
/// # Errors
/// [`QueryError`]: `old` listens as before, and what it has heard is with it.
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
