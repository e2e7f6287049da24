//! The status of a running proxy, for the admin listener.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::future::join_all;

use super::build::Built;
use super::{metrics, trouble};
use crate::admin::{
    Candidate, DatabaseStatus, FleetStatus, GenerationStatus, Holder, InForce, ListenerStatus,
    Load, RefreshFuture, Refreshed, RotationStep, SecretStatus, ServerCounts, Status, StatusSource,
};
use crate::pool::{GenerationCounts, Pool, PoolCounts, PoolMode, Tried};
use crate::secret::{Follower, Known, SecretId};
use crate::session::{Handle, Pin};

impl StatusSource for Built {
    fn status(&self) -> Status {
        let sessions = Sessions::of(self);
        let all = self.all_pools();
        let mut pools: Vec<_> = all.iter().map(|p| (p, p.counts())).collect();
        pools.sort_by_key(|(p, _)| (p.name.clone(), p.secret.clone()));
        let mut followers: Vec<_> = {
            let state = self.state.lock();
            state.followers.values().cloned().collect()
        };
        followers.sort_by_key(|f| f.secret.clone());
        let ready = self.ready();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: rfc3339(self.started_at),
            ready: ready.is_ok(),
            unready: ready.err(),
            troubles: trouble::troubles(self),
            secrets: followers
                .iter()
                .map(|f| SecretStatus {
                    next_rotation: next_rotation(self, &f.secret),
                    ..secret(f, &pools)
                })
                .collect(),
            databases: pools
                .iter()
                .map(|(p, counts)| database(p, counts, sessions.clients(p)))
                .collect(),
        }
    }

    fn loads(&self) -> Vec<Load> {
        let routes = self.context.routes.load();
        routes.pools.values().map(|p| load(p)).collect()
    }

    fn rotation_steps(&self) -> Vec<RotationStep> {
        self.journal.steps()
    }

    /// Ready if one database can be served, so that one secret that does not work does not
    /// take the other databases out of service. A database server that is down does not
    /// count either: other replicas could not reach it better, and clients wait for it or
    /// are told.
    fn ready(&self) -> Result<(), String> {
        if self.health.is_stopping() {
            return Err("the proxy is stopping".to_owned());
        }
        if let Some(why) = trouble::unready(self) {
            return Err(why);
        }
        let routes = self.context.routes.load();
        let mut problem = "no database is configured".to_owned();
        for pool in routes.pools.values() {
            let counts = pool.counts();
            if counts.in_force().is_some() {
                return Ok(());
            }
            if let Some(why) = counts.problem {
                problem = format!("database {}: {why}", pool.name);
            }
        }
        Err(problem)
    }

    fn refresh(&self, secret: Option<String>) -> RefreshFuture<'_> {
        let state = self.state.lock();
        let mut wanted: Vec<_> = (state.followers.values())
            .filter(|f| secret.as_ref().is_none_or(|s| f.is_called(s)))
            .cloned()
            .collect();
        wanted.sort_by_key(|f| f.secret.clone());
        Box::pin(join_all(wanted.into_iter().map(look)))
    }

    fn publish(&self) {
        metrics::publish(self);
    }
}

fn load(pool: &Pool) -> Load {
    let counts = pool.counts();
    let in_force = (counts.generations.first()).filter(|g| g.draining_since.is_none());
    let in_force = in_force.map(|g| {
        let credential = &g.generation.credential;
        InForce {
            version: credential.version.as_str().into(),
            user: credential.username.as_str().into(),
            adopted_at: g.generation.proven_at,
        }
    });
    Load {
        database: pool.name.clone(),
        secret: pool.secret.as_str().into(),
        transactions: pool.stats.transactions.load(Relaxed),
        active: counts.active,
        waiting: counts.waiting,
        in_force,
    }
}

async fn look(follower: Arc<Follower>) -> Refreshed {
    let version = |known: &Known| known.current.as_ref().map(|c| c.version.clone());
    let before = version(&follower.known());
    let known = follower.refresh().await.known;
    let now = version(&known);
    Refreshed {
        secret: follower.secret.as_str().into(),
        changed: now != before,
        current: now.map(|v| v.as_str().into()),
        error: known.error.map(|e| e.to_string()),
    }
}

fn next_rotation(built: &Built, secret: &SecretId) -> Option<String> {
    let at = built.rotations.outlook(secret)?.at?;
    Some(rfc3339(at.into()))
}

fn secret(follower: &Follower, pools: &[(&Arc<Pool>, PoolCounts)]) -> SecretStatus {
    let known = follower.known();
    let mut of_secret = pools.iter().filter(|(p, _)| p.secret == follower.secret);
    let candidates_tried = of_secret
        .clone()
        .flat_map(|(_, counts)| counts.tried.iter().chain(&counts.tried_before).map(tried))
        .collect();
    let in_force = of_secret.find_map(|(_, counts)| counts.in_force());
    let generation = in_force.map(|g| &g.generation);
    let credential = generation.map(|g| &g.credential);
    SecretStatus {
        secret: follower.secret.as_str().into(),
        arn: credential.or(known.current.as_ref()).map(|c| c.arn.clone()),
        version: credential.map(|c| c.version.as_str().into()),
        stages: credential.map_or_else(Vec::new, |c| known.stages_of(c)),
        user: credential.map(|c| c.username.as_str().into()),
        adopted_at: generation.map(|g| rfc3339(g.proven_at)),
        adopted_as: generation.map(|g| g.standing.name().into()),
        confirmed_at: known.confirmed_at.map(rfc3339),
        last_error: known.error.map(|e| e.to_string()),
        candidates_tried,
        next_rotation: None,
    }
}

fn tried(tried: &Tried) -> Candidate {
    Candidate {
        version: tried.version.as_str().into(),
        standing: tried.standing.name().into(),
        why: tried.why.clone(),
        at: rfc3339(tried.at),
    }
}

/// The sessions of each pool, found in one pass.
struct Sessions(HashMap<(Arc<str>, SecretId), Vec<Arc<Handle>>>);

impl Sessions {
    fn of(built: &Built) -> Self {
        let mut of_pool: HashMap<_, Vec<_>> = HashMap::new();
        for session in built.context.sessions.all() {
            let pool = (session.pool.name.clone(), session.pool.secret.clone());
            of_pool.entry(pool).or_default().push(session);
        }
        Self(of_pool)
    }

    /// The sessions whose clients are those of a pool.
    fn clients(&self, pool: &Pool) -> &[Arc<Handle>] {
        let pool = (pool.name.clone(), pool.secret.clone());
        self.0.get(&pool).map_or(&[], Vec::as_slice)
    }
}

fn database(pool: &Pool, counts: &PoolCounts, sessions: &[Arc<Handle>]) -> DatabaseStatus {
    DatabaseStatus {
        name: pool.name.clone(),
        secret: pool.secret.as_str().into(),
        pool_mode: pool.database().pool_mode.as_str().to_owned(),
        pool_size: pool.database().pool_size,
        clients: sessions.len(),
        paused: counts.paused,
        waiting: counts.waiting,
        longest_wait_ms: counts.longest_wait.map(millis),
        servers: ServerCounts {
            active: counts.active,
            idle: counts.idle,
            opening: counts.opening,
        },
        fleet: counts.fleet.map(|fleet| FleetStatus {
            size: fleet.of,
            share: fleet.share,
            demand: fleet.demand,
            replicas: fleet.replicas,
            held: fleet.proven,
        }),
        pinned: pinned(sessions),
        listener: pool.listener.counts().map(|c| ListenerStatus {
            channels: c.channels,
            clients: c.clients,
            generation: c.generation.number,
        }),
        generations: counts
            .generations
            .iter()
            .map(|g| generation(pool, g, sessions))
            .collect(),
        last_error: counts.problem.as_ref().map(ToString::to_string),
    }
}

/// How many of these clients keep their server connection, by reason.
fn pinned(sessions: &[Arc<Handle>]) -> BTreeMap<String, usize> {
    let mut pinned = BTreeMap::new();
    for pin in sessions.iter().filter_map(|session| session.pinned()) {
        *pinned.entry(pin.as_str().to_owned()).or_default() += 1;
    }
    pinned
}

fn generation(
    pool: &Pool,
    counts: &GenerationCounts,
    sessions: &[Arc<Handle>],
) -> GenerationStatus {
    let GenerationCounts {
        generation,
        draining_since,
        idle,
        active,
    } = counts;
    let holders = sessions
        .iter()
        .filter(|_| draining_since.is_some())
        .filter(|s| {
            s.held()
                .is_some_and(|h| Arc::ptr_eq(&h.generation, generation))
        })
        .map(|s| holder(s))
        .collect();
    GenerationStatus {
        number: generation.number,
        version: generation.credential.version.as_str().into(),
        stages: pool.follower.known().stages_of(&generation.credential),
        user: generation.credential.username.as_str().into(),
        adopted_at: rfc3339(generation.proven_at),
        draining_since: draining_since.map(rfc3339),
        active: *active,
        idle: *idle,
        holders,
    }
}

fn holder(session: &Handle) -> Holder {
    let reason = match (session.mode, session.pinned()) {
        (_, Some(Pin::Replication)) => "replicates".to_owned(),
        (PoolMode::Session, _) => match session.stays() {
            Some(why) => format!("session mode; cannot move: {}", why.as_str()),
            None => "session mode".to_owned(),
        },
        (_, Some(pin)) => format!("keeps state on the server: {}", pin.as_str()),
        (_, None) => "in a transaction".to_owned(),
    };
    Holder {
        session: session.id.to_string().into(),
        client: session.client.clone(),
        source: session.source.clone(),
        since: rfc3339(session.since),
        reason,
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn rfc3339(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Millis, true)
}
