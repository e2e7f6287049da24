//! Follows one secret: one task looks, everybody else reads what it found.
//!
//! It looks every `refresh` (with jitter, so that many proxies do not ask in
//! step), at once when the store says that something changed, and at once when
//! a login failed. Whoever asks while a look is under way shares the next one:
//! a thousand waiting clients cost one question.
//!
//! A failed look never takes a good version away: what was last known stays
//! until something better is known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tracing::{info, warn};

use super::metrics::SecretMetrics;
use super::versions::Versions;
use super::{
    AWSCURRENT, AWSPENDING, AWSPREVIOUS, Credential, SecretId, SecretStore, Standing, StoreError,
    VersionId, Which,
};
use crate::metrics::Metrics;

/// Versions without a label that are worth a try: a rotation that was cancelled
/// or overtaken leaves its password in one of them.
const UNLABELLED: usize = 5;

/// Versions and their labels.
pub type Labels = BTreeMap<VersionId, Vec<String>>;

/// What is known of a secret.
#[derive(Clone, Default)]
pub struct Known {
    /// The content of AWSCURRENT when it was last readable.
    pub current: Option<Arc<Credential>>,
    /// When the store last confirmed `current`.
    pub confirmed_at: Option<SystemTime>,
    /// Why the last look failed, if it did.
    pub error: Option<Arc<str>>,
    /// Its kind.
    failing: Option<&'static str>,
    /// Which version carries which labels; `None` where DescribeSecret is
    /// forbidden.
    pub labels: Option<Arc<Labels>>,
    /// Why AWSPENDING cannot be read, should that be forbidden: a rotation will
    /// then be noticed too late.
    pub pending_denied: Option<Arc<str>>,
    /// Moves when a person or an event asks for a look.
    pub asked: u64,
}

impl Known {
    /// The labels of a credential's version as the store last told, else as
    /// they were when it was read.
    pub fn stages_of(&self, credential: &Credential) -> Vec<String> {
        match &self.labels {
            Some(labels) => labels.get(&credential.version).cloned().unwrap_or_default(),
            None => credential.stages.clone(),
        }
    }
}

/// How far a look goes. What is deeper costs more questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// AWSCURRENT.
    Current,
    /// AWSPENDING and AWSPREVIOUS as well.
    Labelled,
    /// And the newest versions that have no label.
    All,
}

/// What a look found.
#[derive(Clone)]
pub struct Found {
    pub known: Known,
    /// Versions besides AWSCURRENT, as far as the look went.
    pub others: Vec<(Standing, Arc<Credential>)>,
}

impl Found {
    fn unchanged(before: Known) -> Self {
        let known = Known {
            confirmed_at: Some(SystemTime::now()),
            error: None,
            failing: None,
            ..before
        };
        Self {
            known,
            others: Vec::new(),
        }
    }
}

struct Request {
    depth: Depth,
    /// By a person or an event.
    asked: bool,
    done: oneshot::Sender<Found>,
}

pub struct Follower {
    pub secret: SecretId,
    store: Arc<dyn SecretStore>,
    known: watch::Receiver<Known>,
    looks: mpsc::UnboundedSender<Request>,
    /// Versions are immutable: each is fetched once.
    versions: Mutex<Versions>,
    /// What cannot be read is said once.
    warned: Mutex<BTreeSet<String>>,
    metrics: SecretMetrics,
    task: Mutex<Option<AbortHandle>>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

impl Follower {
    pub fn start(
        secret: SecretId,
        store: Arc<dyn SecretStore>,
        refresh: Duration,
        metrics: &Arc<Metrics>,
    ) -> Arc<Self> {
        let (publish, known) = watch::channel(Known::default());
        let (looks, requests) = mpsc::unbounded_channel();
        let follower = Arc::new(Self {
            metrics: SecretMetrics::new(metrics, &secret),
            secret,
            store,
            known,
            looks,
            versions: Mutex::default(),
            warned: Mutex::default(),
            task: Mutex::default(),
        });
        // The task holds no strong reference, so that dropping the last user
        // of the follower ends it.
        let task = tokio::spawn(task::follow(
            Arc::downgrade(&follower),
            refresh,
            publish,
            requests,
        ));
        *follower.task.lock() = Some(task.abort_handle());
        follower
    }

    pub fn subscribe(&self) -> watch::Receiver<Known> {
        self.known.clone()
    }

    /// Whether the secret has this name or ARN: an event names it by either,
    /// whichever the configuration has.
    pub fn is_called(&self, name: &str) -> bool {
        let known = self.known();
        let arn = known.current.as_ref().map_or("", |c| &*c.arn);
        // …:secret:NAME-6 random characters
        let in_arn = arn.split_once(":secret:").map_or("", |(_, rest)| rest);
        let in_arn = in_arn.rsplit_once('-').map_or("", |(name, _)| name);
        !name.is_empty() && [self.secret.as_str(), arn, in_arn].contains(&name)
    }

    pub fn known(&self) -> Known {
        self.known.borrow().clone()
    }

    /// Looks now; what a look found that began after this call.
    pub async fn look(&self, depth: Depth) -> Found {
        self.request(depth, false).await
    }

    /// The same, because somebody has a reason to think that it is worth it:
    /// pools try again at once.
    pub async fn refresh(&self) -> Found {
        self.request(Depth::Labelled, true).await
    }

    async fn request(&self, depth: Depth, asked: bool) -> Found {
        let (done, ended) = oneshot::channel();
        let request = Request { depth, asked, done };
        if self.looks.send(request).is_ok()
            && let Ok(found) = ended.await
        {
            return found;
        }
        Found {
            known: self.known(),
            others: Vec::new(),
        }
    }

    /// One version's credential; `None` where there is no such version.
    async fn fetch(
        &self,
        which: &Which,
        standing: Standing,
    ) -> Result<Option<Arc<Credential>>, StoreError> {
        let value = match self.store.get(&self.secret, which).await {
            Ok(value) => value,
            // A rotation reserves AWSPENDING before it has a value.
            Err(StoreError::NotFound(_)) if standing != Standing::Current => return Ok(None),
            Err(e) => {
                self.metrics.fetch(e.kind());
                return Err(e);
            }
        };
        let mut versions = self.versions.lock();
        if let Some(known) = versions.get(&value.version)
            && known.stages == value.stages
        {
            self.metrics.fetch("ok");
            return Ok(Some(known));
        }
        match Credential::parse(&self.secret, &value) {
            Ok(credential) => {
                self.metrics.fetch("ok");
                let credential = Arc::new(credential);
                versions.add(credential.clone(), standing);
                Ok(Some(credential))
            }
            Err(e) => {
                self.metrics.fetch("malformed");
                Err(StoreError::InvalidRequest(format!(
                    "version {} of secret \"{}\" is no credential: {e}",
                    value.version, self.secret
                )))
            }
        }
    }

    /// The same for a version that is merely worth a try: what cannot be read
    /// is passed over, with one warning.
    async fn fetch_other(
        &self,
        standing: Standing,
        which: Which,
        version: Option<&VersionId>,
    ) -> Result<Option<(Standing, Arc<Credential>)>, StoreError> {
        if let Some(version) = version {
            let mut versions = self.versions.lock();
            if let Some(known) = versions.reuse(version, standing) {
                return Ok(Some((standing, known)));
            }
        }
        let fetched = self.fetch(&which, standing).await;
        if let Err(error) = &fetched {
            let text = error.to_string();
            let mut warned = self.warned.lock();
            // Bounded: a store may tell each time in other words.
            if warned.len() < 64 && warned.insert(text.clone()) {
                warn!(secret = %self.secret, "passed over {standing}: {text}");
            }
        }
        Ok(fetched?.map(|credential| (standing, credential)))
    }

    /// One look: has AWSCURRENT moved, and to what? And what else is there?
    async fn examine(&self, before: &Known, depth: Depth) -> Found {
        let only = |known| Found {
            known,
            others: Vec::new(),
        };
        let labels = match self.store.describe(&self.secret).await {
            Ok(description) => Some(Arc::new(description.versions)),
            // Reading the value is what counts; DescribeSecret may be forbidden.
            Err(StoreError::Denied(_)) => None,
            Err(e) => {
                self.metrics.fetch(e.kind());
                return only(self.failed(before, &e));
            }
        };
        let mut known = Known {
            labels: labels.clone(),
            ..before.clone()
        };
        if let Some(labels) = &labels {
            let mut versions = self.versions.lock();
            versions.forget(labels);
        }
        let now = before.current.as_ref().map(|c| &c.version);
        let moved = now.is_none()
            || labels
                .as_ref()
                .is_none_or(|l| with_label(l, AWSCURRENT) != now);
        let current = match moved {
            true => {
                let fetched = self.fetch(&Which::current(), Standing::Current).await;
                fetched.map(|found| known.current = found)
            }
            false => {
                self.metrics.fetch("ok");
                Ok(())
            }
        };
        match current {
            Ok(()) => {
                if let Some(new) = &known.current
                    && now != Some(&new.version)
                {
                    info!(secret = %self.secret, version = %new.version, "AWSCURRENT found");
                }
                known.confirmed_at = Some(SystemTime::now());
                known.error = None;
                known.failing = None;
            }
            Err(e) => known = self.failed(&known, &e),
        }
        let mut others = Vec::new();
        if depth >= Depth::Labelled {
            others = self.labelled(labels.as_deref(), &mut known).await;
        }
        if depth >= Depth::All {
            others.extend(self.unlabelled(labels.as_deref()).await);
        }
        Found { known, others }
    }

    async fn labelled(
        &self,
        labels: Option<&Labels>,
        known: &mut Known,
    ) -> Vec<(Standing, Arc<Credential>)> {
        let fetch = |standing, label: &'static str| async move {
            let version = match labels {
                Some(labels) => match with_label(labels, label) {
                    Some(version) => Some(version),
                    // AWSPENDING is asked for all the same: whether it may be
                    // read shows before it matters, and the two answers of the
                    // store need not be of the same moment.
                    None if label != AWSPENDING => return Ok(None),
                    None => None,
                },
                None => None,
            };
            let which = Which::Stage(label.to_owned());
            self.fetch_other(standing, which, version).await
        };
        let (pending, previous) = tokio::join!(
            fetch(Standing::Pending, AWSPENDING),
            fetch(Standing::Previous, AWSPREVIOUS)
        );
        match &pending {
            Err(error @ StoreError::Denied(_)) => {
                if known.pending_denied.is_none() {
                    warn!(
                        secret = %self.secret,
                        "AWSPENDING may not be read ({error}); allow secretsmanager:GetSecretValue for it, or clients will wait whenever a rotation has changed the password and not yet moved AWSCURRENT"
                    );
                }
                known.pending_denied = Some(error.to_string().into());
            }
            Ok(_) => known.pending_denied = None,
            Err(_) => {}
        }
        let found = [pending, previous].into_iter();
        found.filter_map(|f| f.ok().flatten()).collect()
    }

    async fn unlabelled(&self, labels: Option<&Labels>) -> Vec<(Standing, Arc<Credential>)> {
        let versions = match self.store.versions(&self.secret).await {
            Ok(versions) => versions,
            Err(error) => {
                let text = error.to_string();
                let mut warned = self.warned.lock();
                if warned.len() < 64 && warned.insert(text.clone()) {
                    warn!(secret = %self.secret, "versions without a label cannot be listed: {text}");
                }
                return Vec::new();
            }
        };
        let unlabelled = versions
            .into_iter()
            .filter(|v| labels.is_none_or(|l| !l.contains_key(v)))
            .take(UNLABELLED);
        let fetches = unlabelled.map(|version| async move {
            let which = Which::Version(version.clone());
            self.fetch_other(Standing::Unlabelled, which, Some(&version))
                .await
        });
        let found = join_all(fetches).await.into_iter();
        found.filter_map(|f| f.ok().flatten()).collect()
    }

    fn failed(&self, before: &Known, error: &StoreError) -> Known {
        let text: Arc<str> = error.to_string().into();
        // Once for each kind: the causes of an outage take turns.
        if before.failing != Some(error.kind()) {
            let kept = if before.current.is_some() {
                "; the last known version stays in force"
            } else {
                ""
            };
            warn!(secret = %self.secret, "secret cannot be read: {text}{kept}");
        }
        Known {
            error: Some(text),
            failing: Some(error.kind()),
            ..before.clone()
        }
    }
}

/// The version a label sits on.
fn with_label<'a>(labels: &'a Labels, label: &str) -> Option<&'a VersionId> {
    let mut found = labels.iter().filter(|(_, l)| l.iter().any(|l| l == label));
    found.next().map(|(version, _)| version)
}

mod task;
#[cfg(test)]
mod tests;
