//! The rotations of a configuration, and where their steps are reported.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock, Weak};
use std::time::SystemTime;

use parking_lot::Mutex;
use tracing::info;

use super::build::Built;
use super::canary;
use super::status::rfc3339;
use crate::admin::RotationStep;
use crate::audit::Audit;
use crate::metrics::{Counter, Family, Metrics};
use crate::pool::Database;
use crate::rotation::{
    Admitted, Job, Observer, Rotated, RotationReport, StepOutcome, StepReport, Trial,
};
use crate::secret::{Credential, Depth, SecretId, VersionId};
use crate::telemetry::Traces;

/// Brings the rotations in line with the configuration in force.
pub fn apply(built: &Built) {
    let state = built.state.lock();
    let config = &state.config;
    let mut databases: HashMap<SecretId, Arc<Database>> = HashMap::new();
    for (database, secret) in config.uses() {
        // A database that says how to rotate its secret goes before one that does
        // not.
        let configured = config.rotation(&database).is_some() && database.secret == secret;
        if configured || !databases.contains_key(&secret) {
            databases.insert(secret, database);
        }
    }
    built.stores.rotates(databases.keys());
    let stores = &built.stores.stores;
    let jobs = databases.into_iter().filter_map(|(secret, database)| {
        let rotation = config.rotation(&database);
        let rotation = rotation.filter(|_| database.secret == secret).cloned();
        let store = stores.of(&secret);
        let requested = store.is_ok_and(|store| store.requests_rotation());
        let refresh = config.refresh(&secret);
        (requested || rotation.is_some()).then(|| Job {
            secret,
            database: database.upstream.clone(),
            rotation,
            admin_secrets: config.admin_secrets.clone(),
            refresh,
        })
    });
    built.rotations.apply(jobs.collect(), |secret| -> Rotated {
        let follower = state.followers.get(secret).cloned();
        Arc::new(move || {
            if let Some(follower) = follower.clone() {
                tokio::spawn(async move { follower.look(Depth::Current).await });
            }
        })
    });
}

const STEPS: Family<Counter, 3> = Family::new(
    "pgvalet_rotation_steps_total",
    "Steps of rotations that ended, by secret, step and outcome.",
    ["secret", "step", "outcome"],
);

/// How many steps are remembered: those of some thirty rotations.
const REMEMBERED: usize = 200;

/// Steps go to the audit log, the metrics and the log, and the newest are remembered.
pub struct Journal {
    audit: Audit,
    metrics: Arc<Metrics>,
    steps: Mutex<VecDeque<RotationStep>>,
    /// Gets a span of each rotation, where traces are sent.
    pub traces: OnceLock<Arc<Traces>>,
    /// The proxy, whose pools try new versions.
    pub built: OnceLock<Weak<Built>>,
}

impl Journal {
    pub fn new(audit: Audit, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            audit,
            metrics,
            steps: Mutex::default(),
            traces: OnceLock::new(),
            built: OnceLock::new(),
        })
    }

    /// The newest steps, the newest last.
    pub fn steps(&self) -> Vec<RotationStep> {
        self.steps.lock().iter().cloned().collect()
    }

    fn remember(&self, report: &StepReport) {
        let step = RotationStep {
            secret: report.secret.as_str().into(),
            version: report.version.as_ref().map(|v| v.as_str().into()),
            user: report.user.as_deref().map(Into::into),
            step: report.step.name(),
            outcome: report.outcome.name(),
            detail: report.detail.as_str().into(),
            at: rfc3339(SystemTime::now()),
        };
        let mut steps = self.steps.lock();
        if steps.len() >= REMEMBERED {
            steps.pop_front();
        }
        steps.push_back(step);
    }
}

impl Observer for Journal {
    fn before(&self, report: &StepReport) -> Admitted<'_> {
        Box::pin(self.audit.admit(report.record_of_begin()))
    }

    fn step(&self, report: &StepReport) {
        self.audit.record(report.record());
        self.remember(report);
        let (secret, step) = (report.secret.as_str(), report.step.name());
        let labels = [secret, step, report.outcome.name()];
        self.metrics.series(&STEPS, labels).increment(1);
        // A failure is logged with what follows from it.
        if report.outcome != StepOutcome::Failed {
            info!(
                secret,
                version = report.version.as_ref().map(VersionId::as_str),
                step,
                outcome = report.outcome.name(),
                "{}",
                report.detail
            );
        }
    }

    fn try_out<'a>(&'a self, credential: &'a Arc<Credential>) -> Trial<'a> {
        Box::pin(async {
            let built = self.built.get().and_then(Weak::upgrade)?;
            canary::try_out(&built, credential).await
        })
    }

    fn is_trying(&self, secret: &SecretId, version: &VersionId) -> bool {
        let built = self.built.get().and_then(Weak::upgrade);
        built.is_some_and(|built| canary::is_trying(&built, secret, version))
    }

    fn put_back(&self, credential: &Credential) {
        if let Some(built) = self.built.get().and_then(Weak::upgrade) {
            canary::end(&built, &credential.secret, &credential.version);
        }
    }

    fn attempt(&self, report: &RotationReport) {
        // Where another proxy was faster, there is nothing to tell of.
        let nothing = report.steps.is_empty() && report.failed.is_none();
        if let Some(traces) = self.traces.get().filter(|_| !nothing) {
            traces.record(|| report.span());
        }
    }
}
