//! How a running proxy stands.

use std::sync::Arc;

use super::build::Built;
use crate::config::PoolMode;
use crate::observe::{
    DatabaseStatus, GenerationStatus, Holder, SecretStatus, ServerCounts, Status, StatusSource,
    rfc3339,
};
use crate::pool::{GenerationCounts, Pool};
use crate::session::Handle;

impl StatusSource for Built {
    fn status(&self) -> Status {
        let sessions = self.context.sessions.all();
        let routes = self.context.routes.load();
        let mut pools: Vec<_> = routes.pools.values().collect();
        pools.sort_by_key(|p| (p.database.name.clone(), p.secret.clone()));
        let ready = self.ready();
        let state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        let mut secrets: Vec<_> = state
            .followers
            .values()
            .map(|follower| {
                let known = follower.known();
                SecretStatus {
                    secret: follower.secret.to_string(),
                    arn: known.current.as_ref().map(|c| c.arn.to_string()),
                    version: known.current.as_ref().map(|c| c.version.to_string()),
                    user: known.current.as_ref().map(|c| c.username.clone()),
                    confirmed_at: known.confirmed_at.map(rfc3339),
                    last_error: known.error.map(|e| e.to_string()),
                }
            })
            .collect();
        secrets.sort_by(|a, b| a.secret.cmp(&b.secret));
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: rfc3339(self.started_at),
            ready: ready.is_ok(),
            not_ready: ready.err(),
            databases: pools.into_iter().map(|p| database(p, &sessions)).collect(),
            secrets,
        }
    }

    /// Ready as soon as one database can be served: a secret that does not
    /// work must not take the others out of service.
    fn ready(&self) -> Result<(), String> {
        let routes = self.context.routes.load();
        let mut problem = "no database is configured".to_owned();
        for pool in routes.pools.values() {
            let counts = pool.counts();
            if !counts.generations.is_empty() {
                return Ok(());
            }
            if let Some(why) = counts.problem {
                problem = format!("database {}: {why}", pool.database.name);
            }
        }
        Err(problem)
    }

    fn publish(&self) {
        for pool in self.context.routes.load().pools.values() {
            pool.publish();
        }
    }
}

fn database(pool: &Arc<Pool>, sessions: &[Arc<Handle>]) -> DatabaseStatus {
    let counts = pool.counts();
    DatabaseStatus {
        name: pool.database.name.to_string(),
        secret: pool.secret.to_string(),
        pool_mode: match pool.database.pool_mode {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
        }
        .to_owned(),
        pool_size: pool.database.pool_size,
        clients: sessions
            .iter()
            .filter(|s| s.database == pool.database.name && s.secret == pool.secret)
            .count(),
        waiting: counts.waiting,
        servers: ServerCounts {
            active: counts.active,
            idle: counts.idle,
            opening: counts.opening,
        },
        generations: counts
            .generations
            .into_iter()
            .map(|g| generation(g, sessions))
            .collect(),
        last_error: counts.problem.map(|p| p.to_string()),
    }
}

fn generation(counts: GenerationCounts, sessions: &[Arc<Handle>]) -> GenerationStatus {
    let GenerationCounts {
        generation,
        draining_since,
        idle,
        active,
    } = counts;
    let holders = if draining_since.is_some() {
        sessions
            .iter()
            .filter(|s| {
                s.held()
                    .is_some_and(|h| Arc::ptr_eq(&h.generation, &generation))
            })
            .map(|s| Holder {
                session: s.id,
                client: s.client.to_string(),
                source: s.source.to_string(),
                since: rfc3339(s.since),
            })
            .collect()
    } else {
        Vec::new()
    };
    GenerationStatus {
        number: generation.number,
        version: generation.credential.version.to_string(),
        stages: generation.credential.stages.clone(),
        user: generation.credential.username.clone(),
        adopted_at: rfc3339(generation.proven_at),
        draining_since: draining_since.map(rfc3339),
        active,
        idle,
        holders,
    }
}
