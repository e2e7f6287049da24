//! The gauges: how things stand, taken at the moment at which the metrics are read.
//!
//! A series is there while there is something to say, and gone when there is not: what is
//! usually zero (who waits, drains, is pinned or sits idle in a transaction) has no series
//! then, so that many databases are few lines.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::build::Built;
use super::trouble;
use crate::admin::StatusSource;
use crate::metrics::{Family, Gauge};
use crate::pool::{FleetCounts, LoginTrouble, Pool, PoolCounts};
use crate::session::Handle;

const READY: Family<Gauge, 0> = Family::new(
    "pgvalet_ready",
    "1 if the proxy can serve, as /readyz says.",
    [],
);

const TASKS: Family<Gauge, 0> = Family::new(
    "pgvalet_tasks",
    "Tasks of the process: those of clients, of connections, and what else goes on.",
    [],
);

const WAITING: Family<Gauge, 1> = Family::new(
    "pgvalet_client_waiting",
    "Clients waiting for a server connection, by database.",
    ["database"],
);

const LONGEST_WAIT: Family<Gauge, 1> = Family::new(
    "pgvalet_client_longest_wait_seconds",
    "How long the first of the clients that wait has waited, by database.",
    ["database"],
);

const IDLE_IN_TRANSACTION: Family<Gauge, 1> = Family::new(
    "pgvalet_client_idle_in_transaction",
    "Clients that say nothing in an open transaction, by database.",
    ["database"],
);

const PINNED: Family<Gauge, 3> = Family::new(
    "pgvalet_pinned_clients",
    "Clients that keep their server connection between transactions, by database, secret and reason.",
    ["database", "secret", "reason"],
);

const CONNECTIONS: Family<Gauge, 3> = Family::new(
    "pgvalet_server_connections",
    "Server connections, by database, secret and state.",
    ["database", "secret", "state"],
);

const DRAINING: Family<Gauge, 1> = Family::new(
    "pgvalet_server_connections_draining",
    "Server connections of generations that drain, by database.",
    ["database"],
);

const POOL_SIZE: Family<Gauge, 2> = Family::new(
    "pgvalet_pool_size",
    "The most server connections that the pool may have, by database and secret.",
    ["database", "secret"],
);

const FLEET_SHARE: Family<Gauge, 2> = Family::new(
    "pgvalet_fleet_share",
    "The share of fleet_size that this replica has, by database and secret.",
    ["database", "secret"],
);

const FLEET_SHARE_HELD: Family<Gauge, 2> = Family::new(
    "pgvalet_fleet_share_held",
    "1 while the share is held on the server, by database and secret.",
    ["database", "secret"],
);

const UP: Family<Gauge, 2> = Family::new(
    "pgvalet_database_up",
    "1 if logins to the database work, by database and secret.",
    ["database", "secret"],
);

const VERSION: Family<Gauge, 2> = Family::new(
    "pgvalet_secret_version_info",
    "1 for the version in force, by secret and version.",
    ["secret", "version"],
);

const AGE: Family<Gauge, 1> = Family::new(
    "pgvalet_secret_age_seconds",
    "Since the store last confirmed the version in force, by secret.",
    ["secret"],
);

const NEXT_ROTATION: Family<Gauge, 1> = Family::new(
    "pgvalet_secret_next_rotation_timestamp_seconds",
    "When pgvalet rotates the secret next, as a Unix time, by secret.",
    ["secret"],
);

const RELOAD: Family<Gauge, 0> = Family::new(
    "pgvalet_config_last_reload_successful",
    "1 if the configuration was read without an error when it was read last.",
    [],
);

const RELOAD_AT: Family<Gauge, 0> = Family::new(
    "pgvalet_config_last_reload_timestamp_seconds",
    "When the configuration was read last, as a Unix time.",
    [],
);

/// Brings all gauges up to date.
pub(super) fn publish(built: &Built) {
    trouble::publish(built);
    let sessions = built.context.sessions.all();
    let all = built.all_pools();
    let pools: Vec<_> = all.iter().map(|p| (p, p.counts())).collect();
    for (pool, _) in &pools {
        pool.publish();
    }
    process(built);
    clients(built, &pools, &sessions);
    servers(built, &pools);
    secrets(built, &pools);
}

fn process(built: &Built) {
    let metrics = &built.metrics;
    let ready = f64::from(u8::from(built.ready().is_ok()));
    metrics.replace(&READY, [([], ready)]);
    let tasks = tokio::runtime::Handle::current().metrics();
    metrics.replace(&TASKS, [([], tasks.num_alive_tasks() as f64)]);
    let (at, worked) = built
        .health
        .last_reload()
        .unwrap_or((built.started_at, true));
    metrics.replace(&RELOAD, [([], f64::from(u8::from(worked)))]);
    metrics.replace(&RELOAD_AT, [([], unix(at))]);
}

type Pools<'a> = [(&'a Arc<Pool>, PoolCounts)];

fn clients(built: &Built, pools: &Pools<'_>, sessions: &[Arc<Handle>]) {
    let metrics = &built.metrics;
    // A database has a pool for each of its secrets.
    let mut waiting: BTreeMap<&str, usize> = BTreeMap::new();
    let mut longest: BTreeMap<&str, f64> = BTreeMap::new();
    for (pool, counts) in pools {
        let name = &*pool.name;
        *waiting.entry(name).or_default() += counts.waiting;
        if let Some(wait) = counts.longest_wait {
            let longest = longest.entry(name).or_default();
            *longest = longest.max(wait.as_secs_f64());
        }
    }
    let mut idle: BTreeMap<&str, usize> = BTreeMap::new();
    let mut pinned: BTreeMap<[&str; 3], usize> = BTreeMap::new();
    for session in sessions {
        let name = &**session.database();
        if session.is_idle_in_transaction() {
            *idle.entry(name).or_default() += 1;
        }
        if let Some(pin) = session.pinned() {
            let labels = [name, session.pool.secret.as_str(), pin.as_str()];
            *pinned.entry(labels).or_default() += 1;
        }
    }
    metrics.replace(&WAITING, each(&waiting));
    metrics.replace(&LONGEST_WAIT, longest.iter().map(|(name, s)| ([*name], *s)));
    metrics.replace(&IDLE_IN_TRANSACTION, each(&idle));
    metrics.replace(&PINNED, pinned.iter().map(|(l, n)| (*l, *n as f64)));
}

fn servers(built: &Built, pools: &Pools<'_>) {
    let metrics = &built.metrics;
    let mut connections = Vec::new();
    let mut draining: BTreeMap<&str, usize> = BTreeMap::new();
    for (pool, counts) in pools {
        let labels = |state| [&*pool.name, pool.secret.as_str(), state];
        connections.push((labels("active"), counts.active as f64));
        connections.push((labels("idle"), counts.idle as f64));
        if counts.opening > 0 {
            connections.push((labels("opening"), counts.opening as f64));
        }
        for generation in &counts.generations {
            if generation.draining_since.is_some() {
                let of_database = draining.entry(&*pool.name).or_default();
                *of_database += generation.active + generation.idle;
            }
        }
    }
    metrics.replace(&CONNECTIONS, connections);
    metrics.replace(&DRAINING, each(&draining));
    let in_use = || pools.iter().filter(|(_, counts)| counts.in_use);
    let rows = |value: fn(&Pool, &PoolCounts) -> f64| {
        in_use().map(move |(pool, counts)| {
            let labels = [&*pool.name, pool.secret.as_str()];
            (labels, value(pool, counts))
        })
    };
    metrics.replace(&POOL_SIZE, rows(|pool, _| pool.database().pool_size as f64));
    let shares = |value: fn(FleetCounts) -> f64| {
        pools.iter().filter_map(move |(pool, counts)| {
            let labels = [&*pool.name, pool.secret.as_str()];
            Some((labels, value(counts.fleet?)))
        })
    };
    metrics.replace(&FLEET_SHARE, shares(|fleet| fleet.share as f64));
    let held = shares(|fleet| f64::from(u8::from(fleet.proven)));
    metrics.replace(&FLEET_SHARE_HELD, held);
    metrics.replace(&UP, rows(|_, counts| f64::from(u8::from(is_up(counts)))));
}

fn is_up(counts: &PoolCounts) -> bool {
    let works = matches!(
        counts.trouble,
        None | Some(LoginTrouble::Refused(_) | LoginTrouble::NotMoved(_))
    );
    works && counts.in_force().is_some()
}

fn secrets(built: &Built, pools: &Pools<'_>) {
    let metrics = &built.metrics;
    let in_force = pools.iter().filter_map(|(pool, counts)| {
        let first = counts.in_force()?;
        Some([
            pool.secret.as_str(),
            first.generation.credential.version.as_str(),
        ])
    });
    let mut in_force: Vec<_> = in_force.collect();
    in_force.sort_unstable();
    in_force.dedup();
    metrics.replace(&VERSION, in_force.into_iter().map(|labels| (labels, 1.0)));

    let followers: Vec<_> = {
        let state = built.state.lock();
        state.followers.values().cloned().collect()
    };
    let ages = followers.iter().filter_map(|follower| {
        let confirmed = follower.known().confirmed_at?;
        let age = confirmed.elapsed().ok()?.as_secs_f64();
        Some(([follower.secret.as_str()], age))
    });
    metrics.replace(&AGE, ages);
    let next = followers.iter().filter_map(|follower| {
        let at = built.rotations.outlook(&follower.secret)?.at?;
        Some(([follower.secret.as_str()], unix(at.into())))
    });
    metrics.replace(&NEXT_ROTATION, next);
}

fn each<'a>(counts: &BTreeMap<&'a str, usize>) -> impl Iterator<Item = ([&'a str; 1], f64)> {
    counts.iter().map(|(name, n)| ([*name], *n as f64))
}

fn unix(time: SystemTime) -> f64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    // Whole milliseconds, so that the number reads well.
    since.map_or(0.0, |since| since.as_millis() as f64 / 1000.0)
}
