//! Follows one secret: one task looks, everybody else reads what it found.
//!
//! It looks every `refresh` (with jitter, so that many proxies do not ask in
//! step), at once when the store says that something changed, and at once when
//! a login failed. Whoever asks while a look is under way shares the next one:
//! a thousand waiting clients cost one question.
//!
//! A failed look never takes a good version away: what was last known stays
//! until something better is known.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::{
    AWSCURRENT, AWSPENDING, AWSPREVIOUS, Credential, SecretId, SecretStore, StoreError, VersionId,
    Which,
};
use crate::jitter::{Backoff, jittered};
use crate::observe::SecretMetrics;

/// What is known of a secret.
#[derive(Clone, Default)]
pub struct Known {
    /// The content of AWSCURRENT when it was last readable.
    pub current: Option<Arc<Credential>>,
    /// When the store last confirmed `current`.
    pub confirmed_at: Option<SystemTime>,
    /// Why the last look failed, if it did.
    pub error: Option<Arc<str>>,
}

pub struct Follower {
    pub secret: SecretId,
    store: Arc<dyn SecretStore>,
    known: watch::Receiver<Known>,
    looks: mpsc::UnboundedSender<oneshot::Sender<()>>,
    /// Versions are immutable: each is fetched once.
    versions: Mutex<HashMap<VersionId, Arc<Credential>>>,
    metrics: SecretMetrics,
    task: Mutex<Option<AbortHandle>>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().unwrap_or_else(|e| e.into_inner()).take() {
            task.abort();
        }
    }
}

impl Follower {
    pub fn start(
        secret: SecretId,
        store: Arc<dyn SecretStore>,
        refresh: Duration,
        metrics: SecretMetrics,
    ) -> Arc<Self> {
        let (publish, known) = watch::channel(Known::default());
        let (looks, requests) = mpsc::unbounded_channel();
        let follower = Arc::new(Self {
            secret,
            store,
            known,
            looks,
            versions: Mutex::default(),
            metrics,
            task: Mutex::default(),
        });
        // The task holds no strong reference, so that dropping the last user
        // of the follower ends it.
        let task = tokio::spawn(follow(
            Arc::downgrade(&follower),
            refresh,
            publish,
            requests,
        ));
        *follower.task.lock().unwrap_or_else(|e| e.into_inner()) = Some(task.abort_handle());
        follower
    }

    pub fn subscribe(&self) -> watch::Receiver<Known> {
        self.known.clone()
    }

    pub fn known(&self) -> Known {
        self.known.borrow().clone()
    }

    /// Looks now; returns when a look that began after this call has ended.
    pub async fn look(&self) {
        let (done, ended) = oneshot::channel();
        if self.looks.send(done).is_ok() {
            let _ = ended.await;
        }
    }

    /// The versions worth trying when the one in force does not log in, in
    /// the order of trust: what last worked, AWSCURRENT, AWSPENDING (a rotation
    /// that changed the password but has not moved the label), AWSPREVIOUS (a
    /// label that moved before the password did).
    pub async fn candidates(&self, in_force: Option<&Arc<Credential>>) -> Vec<Arc<Credential>> {
        let mut candidates: Vec<Arc<Credential>> = Vec::new();
        candidates.extend(in_force.cloned());
        let current = self.known.borrow().current.clone();
        candidates.extend(current.clone());
        let reference = current.as_ref().or(in_force);
        for stage in [AWSPENDING, AWSPREVIOUS] {
            let Ok(Some(candidate)) = self.fetch(&Which::Stage(stage.to_owned())).await else {
                continue;
            };
            if stage == AWSPENDING && !reference.is_some_and(|r| may_succeed(r, &candidate)) {
                warn!(
                    secret = %self.secret, version = %candidate.version,
                    "AWSPENDING is ignored: it names another host, port, database or user than AWSCURRENT"
                );
                continue;
            }
            candidates.push(candidate);
        }
        let mut seen = Vec::new();
        candidates.retain(|c| {
            let new = !seen.contains(&c.version);
            seen.push(c.version.clone());
            new
        });
        candidates
    }

    /// One version's credential; `None` where there is no such version or its
    /// value is no credential (which is logged once a version).
    async fn fetch(&self, which: &Which) -> Result<Option<Arc<Credential>>, StoreError> {
        let value = match self.store.get(&self.secret, which).await {
            Ok(value) => value,
            Err(StoreError::NotFound(_)) if *which != Which::current() => return Ok(None),
            Err(e) => {
                self.metrics.fetch(e.kind());
                return Err(e);
            }
        };
        let mut versions = self.versions.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(known) = versions.get(&value.version)
            && known.stages == value.stages
        {
            self.metrics.fetch("ok");
            return Ok(Some(known.clone()));
        }
        match Credential::parse(&self.secret, &value) {
            Ok(credential) => {
                self.metrics.fetch("ok");
                let credential = Arc::new(credential);
                // Old versions are forgotten: their passwords need not stay in
                // memory. A label sits on one version, so that whichever was
                // last seen with one of these has lost it.
                versions.retain(|_, c| !c.stages.iter().any(|s| value.stages.contains(s)));
                versions.insert(value.version.clone(), credential.clone());
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

    /// One look: has AWSCURRENT moved, and to what?
    async fn examine(&self, before: &Known) -> Known {
        let moved = match self.store.describe(&self.secret).await {
            Ok(description) => {
                let known = before.current.as_ref().map(|c| &c.version);
                known.is_none() || description.staged(AWSCURRENT) != known
            }
            // Reading the value is what counts; DescribeSecret may be forbidden.
            Err(StoreError::Denied(_)) => true,
            Err(e) => {
                self.metrics.fetch(e.kind());
                return self.failed(before, &e);
            }
        };
        if !moved {
            self.metrics.fetch("ok");
            return Known {
                confirmed_at: Some(SystemTime::now()),
                error: None,
                ..before.clone()
            };
        }
        match self.fetch(&Which::current()).await {
            Ok(current) => {
                if let (Some(new), old) = (&current, &before.current)
                    && old.as_ref().is_none_or(|o| o.version != new.version)
                {
                    info!(secret = %self.secret, version = %new.version, "AWSCURRENT found");
                }
                Known {
                    current,
                    confirmed_at: Some(SystemTime::now()),
                    error: None,
                }
            }
            Err(e) => self.failed(before, &e),
        }
    }

    fn failed(&self, before: &Known, error: &StoreError) -> Known {
        let text: Arc<str> = error.to_string().into();
        if before.error.as_ref() != Some(&text) {
            let kept = if before.current.is_some() {
                "; the last known version stays in force"
            } else {
                ""
            };
            warn!(secret = %self.secret, "secret cannot be read: {text}{kept}");
        }
        Known {
            error: Some(text),
            ..before.clone()
        }
    }
}

/// Whether a pending version can be the next one of this credential: same
/// place, and the same user or its alternate. Otherwise the right to write the
/// secret would be the right to redirect the database connection.
fn may_succeed(current: &Credential, pending: &Credential) -> bool {
    const CLONE: &str = "_clone";
    let base = |name: &str| name.strip_suffix(CLONE).unwrap_or(name).to_owned();
    current.host == pending.host
        && current.port == pending.port
        && current.dbname == pending.dbname
        && base(&current.username) == base(&pending.username)
}

async fn follow(
    follower: std::sync::Weak<Follower>,
    refresh: Duration,
    publish: watch::Sender<Known>,
    mut requests: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
) {
    let mut changes = follower.upgrade().and_then(|f| f.store.changes());
    let mut backoff = Backoff::new(Duration::from_secs(1), refresh.max(Duration::from_secs(1)));
    let mut waiting: Vec<oneshot::Sender<()>> = Vec::new();
    loop {
        let next = {
            let Some(follower) = follower.upgrade() else {
                return;
            };
            let before = publish.borrow().clone();
            let now = follower.examine(&before).await;
            let next = if now.error.is_some() {
                backoff.wait().min(refresh)
            } else {
                backoff.reset();
                jittered(refresh)
            };
            publish.send_replace(now);
            next
        };
        for waiter in waiting.drain(..) {
            let _ = waiter.send(());
        }
        tokio::select! {
            () = sleep_until(Instant::now() + next) => {}
            () = changed(&mut changes) => {}
            request = requests.recv() => {
                let Some(request) = request else { return };
                waiting.push(request);
            }
        }
        while let Ok(request) = requests.try_recv() {
            waiting.push(request);
        }
    }
}

/// Waits for the store to say that something changed; for ever where it cannot.
async fn changed(changes: &mut Option<watch::Receiver<u64>>) {
    match changes {
        Some(receiver) => {
            if receiver.changed().await.is_err() {
                *changes = None;
            }
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Metrics;
    use crate::secret::{EmbeddedStore, NewSecret};
    use zeroize::Zeroizing;

    fn value(n: usize) -> Zeroizing<String> {
        Zeroizing::new(format!(
            r#"{{"username":"u","password":"p{n}","host":"h"}}"#
        ))
    }

    #[tokio::test]
    async fn passwords_of_old_versions_are_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let store = EmbeddedStore::open(&path("db"), &path("key"))
            .await
            .unwrap();
        let store: Arc<dyn SecretStore> = Arc::new(store);
        let secret = SecretId::new("s");
        let new = NewSecret {
            name: "s".to_owned(),
            description: None,
            value: value(0),
            token: None,
        };
        store.create(new).await.unwrap();
        let (minute, metrics) = (Duration::from_secs(60), Metrics::new());
        let metrics = metrics.secret("s");
        let follower = Follower::start(secret.clone(), store.clone(), minute, metrics);
        for n in 1..10 {
            let stages = vec![AWSCURRENT.to_owned()];
            let put = store.put(&secret, value(n), stages, None).await;
            follower.look().await;
            let known = follower.known().current;
            assert_eq!(known.map(|c| c.version.clone()), put.ok());
            follower.candidates(None).await;
        }
        // AWSCURRENT and AWSPREVIOUS.
        assert_eq!(follower.versions.lock().unwrap().len(), 2);
    }
}
