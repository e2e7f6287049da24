//! How many server connections the clients of one rule may hold at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A rule's `pool_size`, shared by all its clients. It holds beside the ceiling
/// of the pool, and over all pools together.
#[derive(Debug, Clone, Default)]
pub struct Quota(Option<Arc<Semaphore>>);

impl Quota {
    /// `None`: as many as the pool has.
    pub fn new(most: Option<usize>) -> Self {
        Self(most.map(|most| Arc::new(Semaphore::new(most))))
    }

    /// Waits until another connection may be held; first come, first served.
    pub(super) async fn acquire(&self) -> Permit {
        match &self.0 {
            None => Permit::default(),
            // The semaphore is never closed.
            Some(semaphore) => Permit(semaphore.clone().acquire_owned().await.ok()),
        }
    }

    /// `None`: the quota is used up.
    pub(super) fn try_acquire(&self) -> Option<Permit> {
        match &self.0 {
            None => Some(Permit::default()),
            Some(semaphore) => {
                let permit = semaphore.clone().try_acquire_owned().ok()?;
                Some(Permit(Some(permit)))
            }
        }
    }
}

/// Counts as one held connection of a quota, until it is dropped.
#[derive(Default)]
pub struct Permit(#[expect(dead_code, reason = "held, not read")] Option<OwnedSemaphorePermit>);
