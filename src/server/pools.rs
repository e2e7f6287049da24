//! The pools of a proxy: one for each (database, secret), for as long as there is anything
//! of it, whatever reloads change.

use std::collections::HashMap;
use std::sync::Arc;

use crate::audit::Audit;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::pool::{Pool, Remains, Shared};
use crate::secret::{Follower, SecretId, Source, Stores};

/// The name of a database, and a secret for it.
pub type Key = (Arc<str>, SecretId);

/// Every pool.
#[derive(Default)]
pub struct Pools {
    /// The pools in use, and those that are left to end.
    all: HashMap<Key, Arc<Pool>>,
    /// What is kept of pools that have ended.
    remains: HashMap<Key, Remains>,
    shared: Shared,
}

/// What a pool needs of the rest of the proxy.
pub struct Parts<'a> {
    pub stores: &'a Stores,
    pub metrics: &'a Arc<Metrics>,
    pub audit: &'a Audit,
}

impl Pools {
    /// Pools some of whose slots are those of the process before this one.
    pub fn after(remains: HashMap<Key, Remains>) -> Self {
        Self {
            remains,
            ..Self::default()
        }
    }

    /// Has a pool for every (database, secret) that a rule can lead to, so that a secret that
    /// does not work shows at the start and not with the first client. A pool that there is
    /// gets the options of the configuration. Returns the pools in use.
    pub fn start(
        &mut self,
        config: &Config,
        parts: &Parts<'_>,
        followers: &mut HashMap<SecretId, Arc<Follower>>,
    ) -> HashMap<Key, Arc<Pool>> {
        let mut in_use = HashMap::new();
        for (database, secret) in config.uses() {
            let key = (database.name().clone(), secret.clone());
            let pool = match self.all.get(&key) {
                Some(pool) => {
                    followers
                        .entry(secret)
                        .or_insert_with(|| pool.follower.clone());
                    pool.reconfigure(&database);
                    pool.clone()
                }
                None => {
                    let refresh = config.refresh(&secret);
                    let follower = followers.entry(secret.clone()).or_insert_with(|| {
                        let store: Arc<dyn Source> = match parts.stores.of(&secret) {
                            Ok(store) => store,
                            // It says of each look that there is no such store.
                            Err(_) => Arc::new(parts.stores.clone()),
                        };
                        Follower::start(secret.clone(), store, refresh, parts.metrics)
                    });
                    Pool::start(
                        database,
                        secret,
                        follower.clone(),
                        parts.metrics.clone(),
                        parts.audit.clone(),
                        self.shared.clone(),
                        self.remains.remove(&key).unwrap_or_default(),
                    )
                }
            };
            self.all.insert(key.clone(), pool.clone());
            in_use.insert(key, pool);
        }
        in_use
    }

    /// Leaves the pools to end that are not in use.
    pub fn leave(&mut self, in_use: &HashMap<Key, Arc<Pool>>) {
        for (key, pool) in &self.all {
            if !in_use.contains_key(key) {
                pool.linger();
            }
        }
    }

    /// Forgets the pools that have ended, but for what goes on if they come back.
    pub fn forget_ended(&mut self) {
        let remains = &mut self.remains;
        self.all.retain(|key, pool| {
            // A session that has not gone yet has the pool as well.
            let ended = Arc::strong_count(pool) == 1 && pool.has_ended();
            if ended {
                remains.insert(key.clone(), pool.remains());
            }
            !ended
        });
    }

    pub fn all(&self) -> Vec<Arc<Pool>> {
        self.all.values().cloned().collect()
    }
}
