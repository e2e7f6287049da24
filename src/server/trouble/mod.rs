//! The verdict: what is wrong with this proxy at the moment, for `/status`, the metrics, the
//! console and the log.
//!
//! Each part knows its own state; here that becomes sentences for people, and [`Ledger`]
//! remembers since when.
//!
//! * `certificate`  certificates that clients see
//! * `ledger`       since when, and what the log says
//! * `pool`         databases: logins, waiting clients, drains
//! * `process`      audit log, reload, descriptors, number of clients
//! * `secret`       secrets and their rotations

mod certificate;
mod ledger;
mod pool;
mod process;
mod secret;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use super::build::Built;
use crate::admin::{Place, Trouble, TroubleKind};
use crate::metrics::{Family, Gauge};
use crate::net::tls::CheckedFiles;
use ledger::Ledger;
pub use process::descriptors;
pub(super) use process::unready;

/// How often the state is looked at, so that the log has each trouble.
const EVERY: Duration = Duration::from_secs(1);
/// How often open file descriptors are counted, in looks: it takes a while where there are
/// many.
const COUNTED: usize = 5;

/// Something wrong, as a part shows it.
struct Finding {
    kind: TroubleKind,
    place: Place,
    /// Since when, if the part knows.
    since: Option<SystemTime>,
    /// What passes within this time is no trouble.
    patience: Duration,
    sentence: String,
    remedy: String,
}

/// What the proxy as a whole remembers of its health.
#[derive(Default)]
pub struct Health {
    ledger: Mutex<Ledger>,
    /// The last reload: when, and why it failed, if it did.
    reload: Mutex<Option<(SystemTime, Option<String>)>>,
    /// Open file descriptors, as they were counted last.
    descriptors: AtomicUsize,
    stopping: AtomicBool,
    /// Of TLS to servers.
    files: CheckedFiles,
}

impl Health {
    /// A reload took place, or failed because of `failure`.
    pub fn reloaded(&self, failure: Option<String>) {
        *self.reload.lock() = Some((SystemTime::now(), failure));
    }

    /// When the configuration was reloaded last, and whether that worked.
    pub fn last_reload(&self) -> Option<(SystemTime, bool)> {
        let reload = self.reload.lock();
        reload
            .as_ref()
            .map(|(at, failure)| (*at, failure.is_none()))
    }

    /// From now on the proxy accepts nobody.
    pub fn stops(&self) {
        self.stopping.store(true, Relaxed);
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }
}

/// What is wrong at the moment, the worst first.
pub fn troubles(built: &Built) -> Vec<Trouble> {
    let mut found = Vec::new();
    process::find(built, &mut found);
    certificate::find(&built.context, &mut found);
    let sessions = built.context.sessions.all();
    let mut pools = built.all_pools();
    pools.sort_by_key(|p| (p.name.clone(), p.secret.clone()));
    for pool in &pools {
        certificate::find_upstream(pool, &built.health.files, &mut found);
        let disabled = built.context.switches.is_disabled(&pool.name);
        pool::find(pool, &pool.counts(), &sessions, disabled, &mut found);
    }
    let followers: Vec<_> = {
        let state = built.state.lock();
        let followers = state.followers.values();
        followers
            .map(|f| (f.clone(), state.config.refresh(&f.secret)))
            .collect()
    };
    for (follower, refresh) in followers {
        secret::find(&follower, refresh, &pools, &mut found);
        let outlook = built.rotations.outlook(&follower.secret);
        secret::find_rotation(&follower.secret, outlook, &mut found);
    }
    built.health.ledger.lock().note(found, Instant::now())
}

const TROUBLE: Family<Gauge, 3> = Family::new(
    "pgvalet_trouble",
    "1 while something is wrong, by kind, database and secret.",
    ["kind", "database", "secret"],
);

/// Brings the metric up to date; called before it is read.
pub(super) fn publish(built: &Built) {
    let found = troubles(built);
    // Two files with the same trouble are one series.
    let rows: BTreeSet<_> = found.iter().map(|t| labels(t.kind, &t.place)).collect();
    built
        .metrics
        .replace(&TROUBLE, rows.into_iter().map(|row| (row, 1.0)));
}

fn labels(kind: TroubleKind, place: &Place) -> [&str; 3] {
    let database = place.database.as_deref().unwrap_or_default();
    let secret = place.secret.as_deref().unwrap_or_default();
    [kind.as_str(), database, secret]
}

/// Looks regularly, so that the log has each trouble, until the proxy is gone.
pub async fn watch(built: Weak<Built>) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks: usize = 0;
    loop {
        tick.tick().await;
        let Some(built) = built.upgrade() else { return };
        if looks.is_multiple_of(COUNTED) {
            count_descriptors(&built).await;
        }
        looks = looks.wrapping_add(1);
        troubles(&built);
    }
}

async fn count_descriptors(built: &Arc<Built>) {
    if let Ok(count) = tokio::task::spawn_blocking(descriptors).await {
        built.health.descriptors.store(count, Relaxed);
    }
}
