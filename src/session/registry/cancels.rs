//! Cancel requests for one session.
//!
//! Each cancel is a connection to the server: one is made at a time, and one more request
//! waits for its turn. A request beyond those two needs no cancel of its own, because the
//! waiting one begins after it was sent; it only waits until that one is done.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Mutex;
use tracing::warn;

use super::activity::QueryMark;
use super::handle::Handle;
use crate::upstream::cancel;

/// Requests that cancel: one at work and one that waits.
const AT_WORK: u8 = 2;
/// Requests that wait for the end of the two; further ones return at once.
const WAITING: u8 = 32;

#[derive(Default)]
pub(super) struct Cancels {
    at_work: AtomicU8,
    waiting: AtomicU8,
    turn: Mutex<()>,
}

/// A request that is counted until it is dropped.
struct Counted<'a>(&'a AtomicU8);

impl<'a> Counted<'a> {
    /// `None` where `most` are counted already.
    fn new(count: &'a AtomicU8, most: u8) -> Option<Self> {
        let more = |n: u8| (n < most).then_some(n + 1);
        count
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .ok()
            .map(|_| Self(count))
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Cancels {
    /// Runs `cancel` when it is its turn, unless a waiting request will do the same.
    pub async fn one(&self, cancel: impl Future<Output = ()>) {
        if let Some(_counted) = Counted::new(&self.at_work, AT_WORK) {
            let _turn = self.turn.lock().await;
            cancel.await;
        } else if let Some(_counted) = Counted::new(&self.waiting, WAITING) {
            let _turn = self.turn.lock().await;
        }
    }
}

impl Handle {
    /// Cancels what runs on the server connection that the session holds, if `is_due`
    /// says so under the lock; `false` if there was nothing to cancel.
    pub(super) async fn cancel_backend(&self, is_due: impl FnOnce() -> bool) -> bool {
        // The backend is marked under the lock that the end of the lease takes, so that it
        // cannot reach another client before the cancel has landed.
        let backend = {
            let held = self.held.lock();
            match &*held {
                Some(held) if is_due() => {
                    held.backend.cancel_begins();
                    held.backend.clone()
                }
                _ => return false,
            }
        };
        if let Err(e) = cancel(&backend).await {
            warn!(pid = %backend.pid, "cancel request failed: {e}");
        }
        backend.cancel_landed();
        true
    }

    /// Cancels the query that took too long, unless it has ended since.
    pub async fn cancel_overdue(&self, mark: QueryMark) {
        self.cancel_backend(|| mark.cancels(self)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use futures_util::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn a_flood_of_cancels_is_two() {
        let (cancels, done) = (Arc::new(Cancels::default()), Arc::new(AtomicUsize::new(0)));
        let free = Arc::new(Notify::new());
        let flood = join_all((0..1000).map(|_| {
            cancels.one(async {
                free.notified().await;
                done.fetch_add(1, Ordering::SeqCst);
            })
        }));
        let freed = async {
            for _ in 0..2 {
                tokio::task::yield_now().await;
                free.notify_one();
            }
        };
        tokio::join!(flood, freed);
        assert_eq!(done.load(Ordering::SeqCst), 2);
        assert_eq!(cancels.at_work.load(Ordering::SeqCst), 0);
        assert_eq!(cancels.waiting.load(Ordering::SeqCst), 0);
        let again = cancels.one(async {
            done.fetch_add(1, Ordering::SeqCst);
        });
        again.await;
        assert_eq!(done.load(Ordering::SeqCst), 3);
    }
}
