//! The rotations that a proxy does itself: a task for each secret that it may
//! have to rotate.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::info;

use super::build::Built;
use crate::audit::Audit;
use crate::metrics::{Counter, Family, Metrics};
use crate::pool::Database;
use crate::rotation::{
    AdminSecrets, Listener, Next, PATIENCE, Plan, Rotation, Scheduler, StepOutcome, StepReport,
};
use crate::secret::{Depth, Follower, SecretId};

#[derive(Default)]
pub struct Rotations(Mutex<HashMap<SecretId, Task>>);

struct Task {
    database: Arc<Database>,
    rotation: Option<Rotation>,
    admin_secrets: Arc<AdminSecrets>,
    next: Next,
    /// Set or dropped, it ends the task as soon as it waits.
    stop: watch::Sender<bool>,
}

impl Rotations {
    /// Brings the tasks in line with the configuration in force.
    pub fn apply(&self, built: &Built) {
        let state = built.state.lock();
        let mut tasks = self.0.lock();
        let mut wanted: HashMap<SecretId, Arc<Database>> = HashMap::new();
        for (database, secret) in state.config.uses() {
            // One that says how to rotate its secret goes before one that does not.
            let configured =
                state.config.rotation(&database).is_some() && database.secret == secret;
            if configured || !wanted.contains_key(&secret) {
                wanted.insert(secret, database);
            }
        }
        if let Some(api) = &built.api {
            api.rotates(wanted.keys().cloned().collect());
        }
        let tells = built.store.requests_rotation();
        let own = |database: &Database, secret: &SecretId| {
            let rotation = state.config.rotation(database);
            rotation.filter(|_| database.secret == *secret).cloned()
        };
        wanted.retain(|secret, d| tells || own(d, secret).is_some());
        let admins = &state.config.admin_secrets;
        tasks.retain(|secret, task| {
            let database = wanted.get(secret);
            task.admin_secrets == *admins
                && database.is_some_and(|d| *d == task.database && own(d, secret) == task.rotation)
        });
        for (secret, database) in wanted {
            tasks.entry(secret.clone()).or_insert_with(|| {
                let follower = state.followers.get(&secret).cloned();
                let refresh = state.config.store.refresh;
                let admins = admins.clone();
                let rotation = own(&database, &secret);
                start(
                    built,
                    secret,
                    (database, rotation, admins),
                    follower,
                    refresh,
                )
            });
        }
    }

    /// When a secret is to be rotated next.
    pub fn next(&self, secret: &SecretId) -> Option<DateTime<Utc>> {
        let tasks = self.0.lock();
        tasks.get(secret)?.next.get()
    }

    /// No rotation begins any more.
    pub fn stop(&self) {
        self.0.lock().clear();
    }
}

fn start(
    built: &Built,
    secret: SecretId,
    (database, rotation, admin_secrets): (Arc<Database>, Option<Rotation>, Arc<AdminSecrets>),
    follower: Option<Arc<Follower>>,
    refresh: std::time::Duration,
) -> Task {
    if let Some(rotation) = &rotation {
        let how = rotation.strategy.map_or("as the secret says", |s| s.name());
        info!(%secret, database = %database.name, "pgvalet rotates this secret ({how})");
    }
    let configured = rotation.is_some();
    let (schedule, strategy, admin_secret, plaintext) = match rotation.clone() {
        Some(r) => (r.schedule, r.strategy, r.admin_secret, r.plaintext),
        None => (None, None, None, false),
    };
    let (stop, stopped) = watch::channel(false);
    let next = Next::default();
    let scheduler = Scheduler {
        next: next.clone(),
        store: built.store.clone(),
        schedule,
        configured,
        refresh,
        plan: Plan {
            secret,
            strategy,
            admin_secret,
            admin_secrets: admin_secrets.clone(),
            plaintext,
            database: database.upstream.clone(),
            insist: false,
            instead_of: None,
            patience: PATIENCE,
            emergency: None,
        },
        listener: Arc::new(Journal {
            audit: built.context.audit.clone(),
            metrics: built.metrics.clone(),
        }),
        rotated: Arc::new(move || {
            if let Some(follower) = follower.clone() {
                tokio::spawn(async move { follower.look(Depth::Current).await });
            }
        }),
    };
    tokio::spawn(scheduler.run(stopped));
    Task {
        database,
        rotation,
        admin_secrets,
        next,
        stop,
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

const STEPS: Family<Counter, 3> = Family::new(
    "pgvalet_rotation_steps_total",
    "Steps of rotations that ended, by secret, step and outcome.",
    ["secret", "step", "outcome"],
);

/// Steps go to the audit log, the metrics and the log.
struct Journal {
    audit: Audit,
    metrics: Arc<Metrics>,
}

impl Listener for Journal {
    fn step(&self, report: &StepReport) {
        self.audit.record(report.record());
        let (secret, step) = (report.secret.as_str(), report.step.name());
        let labels = [secret, step, report.outcome.name()];
        self.metrics.series(&STEPS, labels).increment(1);
        // A failure is logged with what follows from it.
        if report.outcome != StepOutcome::Failed {
            info!(
                secret,
                step,
                outcome = report.outcome.name(),
                "{}",
                report.detail
            );
        }
    }
}
