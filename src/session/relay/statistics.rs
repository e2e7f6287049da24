//! What a session has added to the statistics of its pool.

use std::mem;

use crate::pool::Pool;

/// What the pool has counted of this session already.
#[derive(Default)]
pub(super) struct Statistics {
    counted: Totals,
    /// The memory of the client's named statements, in bytes.
    kept: u64,
}

/// All that has passed through a session so far.
#[derive(Default, Clone, Copy)]
pub(super) struct Totals {
    pub transactions: u64,
    pub queries: u64,
    pub received: u64,
    pub sent: u64,
}

impl Statistics {
    /// Adds what has come since the last time.
    pub fn count(&mut self, now: Totals, pool: &Pool) {
        let before = mem::replace(&mut self.counted, now);
        pool.count(
            now.transactions - before.transactions,
            now.queries - before.queries,
            now.received - before.received,
            now.sent - before.sent,
        );
    }

    /// Goes on where another process has stopped, which has counted all of this.
    pub fn resume(&mut self, totals: Totals) {
        self.counted = totals;
    }

    /// Notes the memory of the client's named statements, in bytes.
    pub fn keep(&mut self, kept: u64, pool: &Pool) {
        if kept != self.kept {
            pool.statements.keeps(kept, self.kept);
            self.kept = kept;
        }
    }
}
