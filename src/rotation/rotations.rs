//! The rotations that a proxy carries out: a [`Scheduler`] for each secret that it
//! may have to rotate.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::{info, warn};

use super::scheduler::{Next, Outlook, Scheduler};
use super::volunteer::Volunteer;
use super::{AdminSecrets, Ending, Observer, PATIENCE, Plan, Rotation, RotationError, Rotator};
use crate::secret::{SecretId, StoreError, Stores};
use crate::upstream::Options;

/// One secret that the proxy rotates, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub secret: SecretId,
    /// Where the role is, and how to log in there.
    pub database: Arc<Options>,
    /// `None`: the secret is rotated only if the store requests it.
    pub rotation: Option<Rotation>,
    pub admin_secrets: Arc<AdminSecrets>,
    /// The time between two looks at a store that does not tell of changes.
    pub refresh: Duration,
}

/// Called after a rotation, so that the proxy looks at the secret at once.
pub type Rotated = Arc<dyn Fn() + Send + Sync>;

/// The schedulers of a proxy.
pub struct Rotations {
    stores: Stores,
    observer: Arc<dyn Observer>,
    tasks: Mutex<HashMap<SecretId, Task>>,
}

struct Task {
    job: Job,
    rotated: Rotated,
    next: Next,
    /// Ends the task as soon as the task waits, when it is set or dropped.
    stop: watch::Sender<bool>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

impl Rotations {
    /// Begins without any scheduler. Steps are reported to `observer`.
    pub fn new(stores: Stores, observer: Arc<dyn Observer>) -> Self {
        Self {
            stores,
            observer,
            tasks: Mutex::default(),
        }
    }

    /// Starts and stops schedulers, so that they are those of `jobs`. A job that has
    /// not changed goes on undisturbed. Must be called within a Tokio runtime.
    pub fn apply(&self, jobs: Vec<Job>, rotated: impl Fn(&SecretId) -> Rotated) {
        let mut tasks = self.tasks.lock();
        // What a person has approved is of the secret, whatever else a reload changes.
        let heirs: HashMap<SecretId, Next> = tasks
            .iter()
            .map(|(secret, task)| (secret.clone(), task.next.heir()))
            .collect();
        tasks.retain(|_, task| jobs.contains(&task.job));
        for job in jobs {
            let secret = job.secret.clone();
            if tasks.contains_key(&secret) {
                continue;
            }
            let next = heirs.get(&secret).cloned().unwrap_or_default();
            match self.start(job, rotated(&secret), next) {
                Ok(task) => {
                    tasks.insert(secret, task);
                }
                Err(e) => warn!(%secret, "the secret is not rotated: {e}"),
            }
        }
    }

    /// Rotates a secret now, whatever its schedule says. `None`: the proxy rotates no such
    /// secret.
    pub async fn rotate(&self, secret: &SecretId) -> Option<Result<Ending, RotationError>> {
        let (plan, rotated) = {
            let tasks = self.tasks.lock();
            let task = tasks.get(secret)?;
            (plan(&task.job), task.rotated.clone())
        };
        let ended = self.carry_out(&plan).await;
        rotated();
        Some(ended)
    }

    async fn carry_out(&self, plan: &Plan) -> Result<Ending, RotationError> {
        let store = self.stores.of(&plan.secret)?;
        let rotator = Rotator::new(store.rotatable()?, &self.stores, &*self.observer, plan);
        rotator.rotate().await
    }

    /// When a secret is to be rotated next, and whether that works; `None` if pgvalet
    /// does not rotate it.
    pub fn outlook(&self, secret: &SecretId) -> Option<Outlook> {
        Some(self.tasks.lock().get(secret)?.next.get())
    }

    /// Approves of the next rotation that the schedule of a secret starts. `None`: the proxy
    /// rotates no such secret.
    ///
    /// # Errors
    /// Why there is nothing to approve of.
    pub fn approve(&self, secret: &SecretId) -> Option<Result<(), &'static str>> {
        let tasks = self.tasks.lock();
        let task = tasks.get(secret)?;
        let needed = task.job.rotation.as_ref().is_some_and(|r| r.approve);
        Some(match needed {
            true => task.next.approve(),
            false => Err(
                "rotations of this secret need no approval; they do with rotation = { approve = true }",
            ),
        })
    }

    /// Lets no further rotation begin.
    pub fn stop(&self) {
        self.tasks.lock().clear();
    }

    fn start(&self, job: Job, rotated: Rotated, next: Next) -> Result<Task, StoreError> {
        let secret = job.secret.clone();
        let store = self.stores.of(&secret)?;
        if let Some(rotation) = &job.rotation {
            let how = rotation.strategy.map_or("as the secret says", |s| s.name());
            info!(%secret, database = %job.database.name, "pgvalet rotates this secret ({how})");
        }
        let configured = job.rotation.is_some();
        let rotation = job.rotation.clone().unwrap_or_default();
        let (stop, stopped) = watch::channel(false);
        if rotation.canary > 0 {
            let volunteer = Volunteer {
                store: store.clone(),
                observer: self.observer.clone(),
                plan: plan(&job),
                uses: None,
                declined: None,
            };
            tokio::spawn(volunteer.run(stopped.clone()));
        }
        let scheduler = Scheduler {
            store,
            stores: self.stores.clone(),
            observer: self.observer.clone(),
            schedule: rotation.schedule,
            freeze: rotation.freeze,
            approve: rotation.approve,
            configured,
            refresh: job.refresh,
            plan: plan(&job),
            next: next.clone(),
            rotated: rotated.clone(),
        };
        tokio::spawn(scheduler.run(stopped));
        Ok(Task {
            job,
            rotated,
            next,
            stop,
        })
    }
}

/// How a secret is rotated.
fn plan(job: &Job) -> Plan {
    let rotation = job.rotation.clone().unwrap_or_default();
    Plan {
        secret: job.secret.clone(),
        strategy: rotation.strategy,
        admin_secret: rotation.admin_secret,
        admin_secrets: job.admin_secrets.clone(),
        plaintext: rotation.plaintext,
        canary: rotation.canary,
        database: job.database.clone(),
        insist: false,
        instead_of: None,
        patience: PATIENCE,
        emergency: None,
    }
}
