//! The pools of this process, by which each finds the others of its database: they have other
//! secrets, and share one ceiling.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::super::Pool;

/// The pools of a process. Clones are the same.
#[derive(Clone, Default)]
pub(in crate::pool) struct Kin(Arc<Mutex<Vec<Weak<Pool>>>>);

impl Kin {
    pub fn add(&self, pool: &Arc<Pool>) {
        let mut pools = self.0.lock();
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(pool));
    }

    /// Those of a database.
    pub fn of(&self, database: &str) -> Vec<Arc<Pool>> {
        let pools = self.0.lock();
        let all = pools.iter().filter_map(Weak::upgrade);
        all.filter(|pool| *pool.name == *database).collect()
    }
}
