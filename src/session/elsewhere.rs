//! The other process, while one is replaced by another: some sessions are there.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;

use super::moving::Moved;

/// What is asked of the other process.
pub trait Other: Send + Sync {
    /// Goes on with a session and its client's socket; `false` if it has not begun to, and the
    /// session stays here.
    fn take(&self, session: Moved, socket: OwnedFd) -> Pin<Box<dyn Future<Output = bool> + Send>>;

    /// Executes a cancel request; `false` if no session there has that key.
    fn cancel(&self, pid: u32, key: &[u8]) -> Pin<Box<dyn Future<Output = bool> + Send>>;
}

/// The other process, if there is one.
#[derive(Default)]
pub struct Elsewhere(Mutex<Option<Arc<dyn Other>>>);

impl Elsewhere {
    pub fn set(&self, other: Option<Arc<dyn Other>>) {
        *self.0.lock() = other;
    }

    /// Moves a session; `false` if it stays here.
    pub(super) async fn take(&self, session: Moved, socket: OwnedFd) -> bool {
        let other = self.0.lock().clone();
        match other {
            Some(other) => other.take(session, socket).await,
            None => false,
        }
    }

    /// Executes a cancel request that is for no session of this process.
    pub(super) async fn cancel(&self, pid: u32, key: &[u8]) -> bool {
        let other = self.0.lock().clone();
        match other {
            Some(other) => other.cancel(pid, key).await,
            None => false,
        }
    }
}
