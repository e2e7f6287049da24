//! What the status page shows of the past: the last fifteen minutes of every pool, and the
//! versions that were adopted since the proxy started.
//!
//! The admin listener reads the counters of the pools once a second; no pool and no session
//! does anything for it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

/// How many readings, one a second, make a bucket.
const STEP: u32 = 5;

/// How many buckets are kept: fifteen minutes.
const BUCKETS: usize = 180;

/// How many versions of a secret are remembered.
const VERSIONS: usize = 20;

/// A pool at one moment.
#[derive(Debug, Clone)]
pub struct Load {
    pub database: Arc<str>,
    pub secret: Arc<str>,
    /// Transactions since the pool began.
    pub transactions: u64,
    /// Server connections that are held.
    pub active: usize,
    /// Clients that wait for one.
    pub waiting: usize,
    pub in_force: Option<InForce>,
}

/// The version with which a pool logs in.
#[derive(Debug, Clone, Serialize)]
pub struct InForce {
    pub version: Arc<str>,
    pub user: Arc<str>,
    #[serde(serialize_with = "rfc3339")]
    pub adopted_at: SystemTime,
}

/// What happened in `STEP` seconds. In JSON: `[transactions, busy, waiting]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Bucket(
    /// Transactions that ended.
    u64,
    /// The held server connections of all readings, added up. Divided by the transactions, it
    /// is how many seconds one took.
    u64,
    /// The most clients that waited.
    u64,
);

/// The pools are in the order of their names.
#[derive(Default)]
pub(super) struct History {
    pools: BTreeMap<(Arc<str>, Arc<str>), Series>,
    versions: BTreeMap<Arc<str>, VecDeque<InForce>>,
    /// Readings of the bucket that is being filled.
    readings: u32,
    /// Counts the buckets that are complete.
    number: u64,
}

struct Series {
    counted: u64,
    filling: Bucket,
    buckets: VecDeque<Bucket>,
}

/// `/events`, `history` and `sample`. The last bucket of each pool is the one with `number`.
#[derive(Serialize)]
pub(super) struct Extract<'a> {
    step_seconds: u32,
    most: usize,
    number: u64,
    pools: Vec<PoolExtract<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    versions: Option<&'a BTreeMap<Arc<str>, VecDeque<InForce>>>,
}

#[derive(Serialize)]
struct PoolExtract<'a> {
    database: &'a str,
    secret: &'a str,
    buckets: Vec<Bucket>,
}

impl History {
    /// Takes a reading of all pools; `true` if it completed a bucket.
    pub fn read(&mut self, loads: &[Load]) -> bool {
        for load in loads {
            self.count(load);
            if let Some(in_force) = &load.in_force {
                self.adopted(&load.secret, in_force);
            }
        }
        if self.pools.len() > loads.len() {
            self.forget(loads);
        }
        self.readings += 1;
        let complete = self.readings >= STEP;
        if complete {
            self.turn();
        }
        complete
    }

    fn count(&mut self, load: &Load) {
        let key = (load.database.clone(), load.secret.clone());
        let series = self.pools.entry(key).or_insert_with(|| Series {
            counted: load.transactions,
            filling: Bucket::default(),
            buckets: VecDeque::new(),
        });
        // Another pool took its place if there are fewer than before.
        let ended = load.transactions.saturating_sub(series.counted);
        series.counted = load.transactions;
        series.filling.0 += ended;
        series.filling.1 += load.active as u64;
        series.filling.2 = series.filling.2.max(load.waiting as u64);
    }

    /// Forgets pools that a reload has ended.
    fn forget(&mut self, loads: &[Load]) {
        self.pools.retain(|(database, secret), _| {
            let is_this = |l: &Load| l.database == *database && l.secret == *secret;
            loads.iter().any(is_this)
        });
        let pools = &self.pools;
        self.versions
            .retain(|secret, _| pools.keys().any(|(_, s)| s == secret));
    }

    /// Pools of one secret adopt its version one after the other: only the first counts.
    fn adopted(&mut self, secret: &Arc<str>, in_force: &InForce) {
        let versions = self.versions.entry(secret.clone()).or_default();
        let is_new = versions.back().is_none_or(|last| {
            last.version != in_force.version && last.adopted_at < in_force.adopted_at
        });
        if is_new {
            versions.push_back(in_force.clone());
            if versions.len() > VERSIONS {
                versions.pop_front();
            }
        }
    }

    fn turn(&mut self) {
        self.readings = 0;
        self.number += 1;
        for series in self.pools.values_mut() {
            series
                .buckets
                .push_back(std::mem::take(&mut series.filling));
            if series.buckets.len() > BUCKETS {
                series.buckets.pop_front();
            }
        }
    }

    /// All that is remembered.
    pub fn whole(&self) -> Extract<'_> {
        let mut extract = self.extract(BUCKETS);
        extract.versions = Some(&self.versions);
        extract
    }

    /// The bucket that was completed last.
    pub fn last(&self) -> Extract<'_> {
        self.extract(1)
    }

    fn extract(&self, most: usize) -> Extract<'_> {
        let pools = self.pools.iter().map(|((database, secret), series)| {
            let skipped = series.buckets.len().saturating_sub(most);
            PoolExtract {
                database,
                secret,
                buckets: series.buckets.iter().skip(skipped).copied().collect(),
            }
        });
        Extract {
            step_seconds: STEP,
            most: BUCKETS,
            number: self.number,
            pools: pools.collect(),
            versions: None,
        }
    }
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let time = DateTime::<Utc>::from(*time);
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn load(secret: &str, transactions: u64, version: &str, adopted: u64) -> Load {
        Load {
            database: "orders".into(),
            secret: secret.into(),
            transactions,
            active: 2,
            waiting: 1,
            in_force: Some(InForce {
                version: version.into(),
                user: "app".into(),
                adopted_at: SystemTime::UNIX_EPOCH + Duration::from_secs(adopted),
            }),
        }
    }

    fn json(extract: &Extract<'_>) -> serde_json::Value {
        serde_json::to_value(extract).expect("JSON")
    }

    #[test]
    fn five_readings_make_a_bucket() {
        let mut history = History::default();
        let complete: Vec<bool> = (0..5)
            .map(|n| history.read(&[load("s", 100 + 10 * n, "v1", 1)]))
            .collect();
        assert_eq!(complete, [false, false, false, false, true]);
        let pools = json!([{ "database": "orders", "secret": "s", "buckets": [[40, 10, 1]] }]);
        assert_eq!(json(&history.last())["pools"], pools);
        // A pool that took its place begins at nothing.
        for _ in 0..5 {
            history.read(&[load("s", 7, "v1", 1)]);
        }
        let buckets = json!([[40, 10, 1], [0, 10, 1]]);
        assert_eq!(json(&history.whole())["pools"][0]["buckets"], buckets);
        assert_eq!(json(&history.last())["number"], 2);
    }

    #[test]
    fn it_keeps_a_bounded_time_and_no_pool_that_is_gone() {
        let mut history = History::default();
        for n in 0..2000 {
            history.read(&[load("s", n, &n.to_string(), n), load("t", n, "v", 1)]);
        }
        let whole = json(&history.whole());
        let length = |value: &serde_json::Value| value.as_array().expect("an array").len();
        assert_eq!(length(&whole["pools"][0]["buckets"]), BUCKETS);
        assert_eq!(length(&whole["versions"]["s"]), VERSIONS);
        history.read(&[load("t", 0, "v", 1)]);
        let whole = json(&history.whole());
        assert_eq!(length(&whole["pools"]), 1);
        assert!(whole["versions"].get("s").is_none());
    }

    #[test]
    fn a_version_counts_once() {
        let mut history = History::default();
        let (old, new) = (load("s", 0, "v1", 1), load("s", 0, "v2", 9));
        for reading in [&old, &new, &old, &load("s", 0, "v2", 11), &new] {
            history.read(std::slice::from_ref(reading));
        }
        let versions = json(&history.whole())["versions"]["s"].clone();
        let names: Vec<_> = (versions.as_array().expect("an array").iter())
            .map(|v| v["version"].as_str().expect("text").to_owned())
            .collect();
        assert_eq!(names, ["v1", "v2"]);
        assert_eq!(versions[1]["adopted_at"], "1970-01-01T00:00:09.000Z");
    }
}
