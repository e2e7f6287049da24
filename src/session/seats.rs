//! How many clients there are, and may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How many clients there are, and may be. A limit that is lowered ends no session.
pub struct Seats {
    most: AtomicUsize,
    taken: AtomicUsize,
}

/// A seat that is taken, until it is dropped.
pub struct Seat(Arc<Seats>);

impl Seats {
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most: AtomicUsize::new(most),
            taken: AtomicUsize::new(0),
        })
    }

    pub fn set_most(&self, most: usize) {
        self.most.store(most, Relaxed);
    }

    pub fn most(&self) -> usize {
        self.most.load(Relaxed)
    }

    /// Whether all are taken.
    pub fn are_taken(&self) -> bool {
        self.free() == 0
    }

    /// Whether none is taken.
    pub fn are_free(&self) -> bool {
        self.taken.load(Relaxed) == 0
    }

    pub fn free(&self) -> usize {
        self.most().saturating_sub(self.taken.load(Relaxed))
    }

    /// Takes a seat whatever the limit is, for a client that had one before.
    pub fn take_anyway(self: &Arc<Self>) -> Seat {
        self.taken.fetch_add(1, Relaxed);
        Seat(self.clone())
    }

    /// `None`: all are taken.
    pub fn take(self: &Arc<Self>) -> Option<Seat> {
        let most = self.most();
        let one_more = |taken: usize| (taken < most).then_some(taken + 1);
        let taken = self.taken.fetch_update(Relaxed, Relaxed, one_more);
        taken.is_ok().then(|| Seat(self.clone()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lowered_limit_waits_for_seats_to_become_free() {
        let seats = Seats::new(2);
        let (first, second) = (seats.take(), seats.take());
        assert!(second.is_some() && seats.take().is_none() && seats.are_taken());
        seats.set_most(1);
        drop(first);
        assert!(seats.take().is_none());
        drop(second);
        let last = seats.take();
        assert!(last.is_some() && seats.take().is_none());
        seats.set_most(2);
        assert!(seats.take().is_some());
    }
}
