//! Noticing commits of other processes, and purging deleted secrets.

use std::future::pending;
use std::sync::Weak;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Shared;
use super::storage::StorageError;

/// How often other processes' commits are looked for.
const POLL: Duration = Duration::from_millis(200);
/// How often secrets whose recovery window has ended are removed.
const PURGE: Duration = Duration::from_secs(3600);

/// Runs until the store is dropped. `seen` is SQLite's `data_version` when the
/// store was opened. It changes when another connection commits, and not for
/// commits of the connection that asks.
pub async fn follow(shared: Weak<Shared>, mut seen: i64) {
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut purged: Option<Instant> = None;
    let notice = shared.upgrade().and_then(|shared| shared.storage.notice());
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = noticed(notice.as_deref()) => {}
        }
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let purge = purged.is_none_or(|at| at.elapsed() >= PURGE);
        let look = spawn_blocking(move || {
            if purge && let Err(error) = shared.purge() {
                tracing::warn!(%error, "cannot remove secrets whose recovery window has ended");
            }
            let version = shared.storage.others_commits()?;
            if version != seen {
                shared.changed();
            }
            Ok::<_, StorageError>(version)
        });
        if purge {
            purged = Some(Instant::now());
        }
        match look.await {
            Ok(Ok(version)) => seen = version,
            Ok(Err(error)) => {
                tracing::debug!(%error, "cannot ask the store whether it changed");
            }
            // The runtime is shutting down.
            Err(_) => return,
        }
    }
}

/// A store on a server tells at once; with a file, nothing does.
async fn noticed(notice: Option<&Notify>) {
    match notice {
        Some(notice) => notice.notified().await,
        None => pending().await,
    }
}
