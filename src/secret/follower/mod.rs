//! Follows one secret: one task looks at the store, everybody else reads what
//! it found.
//!
//! The task looks every `refresh` (with jitter, so that many proxies do not ask
//! in step), at once when the store says that something changed, and at once
//! when a login failed. Whoever asks while a look is under way shares the next
//! one: a thousand waiting clients cost one question.
//!
//! A failed look never takes a good version away: what was last known stays
//! until something better is known.

mod known;
mod look;
mod task;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::metrics::SecretMetrics;
use super::versions::Versions;
use super::{SecretId, Source};
use crate::metrics::Metrics;

pub use known::{Depth, Found, Known};

/// Somebody waits for a look.
struct Request {
    depth: Depth,
    /// A person or an event asked for it, so that pools try again at once.
    asked: bool,
    done: oneshot::Sender<Found>,
}

/// What pools read about one secret. Dropping it ends the task that looks.
pub struct Follower {
    pub secret: SecretId,
    store: Arc<dyn Source>,
    known: watch::Receiver<Known>,
    looks: mpsc::UnboundedSender<Request>,
    /// Each version is fetched once, because versions are immutable.
    versions: Mutex<Versions>,
    /// Failures that were logged; each is logged once.
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
    /// Starts to follow a secret. Must be called within a Tokio runtime.
    pub fn start(
        secret: SecretId,
        store: Arc<dyn Source>,
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

    /// Receives what each look finds.
    pub fn subscribe(&self) -> watch::Receiver<Known> {
        self.known.clone()
    }

    /// Whether the secret has this name or ARN. An event may name it by either,
    /// and so may the configuration. The name of its store stands in front of a name, since
    /// another store may have a secret of the same name.
    pub fn is_called(&self, name: &str) -> bool {
        let known = self.known();
        let arn = known.current.as_ref().map_or("", |c| &*c.arn);
        // An ARN ends in …:secret:NAME-, and six random characters.
        let in_arn = arn.split_once(":secret:").map_or("", |(_, rest)| rest);
        let in_arn = in_arn.rsplit_once('-').map_or("", |(name, _)| name);
        let within = match self.secret.store() {
            None => Some(name),
            Some(store) => name.strip_prefix(store).and_then(|n| n.strip_prefix(':')),
        };
        let called = within.is_some_and(|n| !n.is_empty() && [arn, in_arn].contains(&n));
        !name.is_empty() && (name == self.secret.as_str() || name == arn || called)
    }

    /// What is known now, without a look.
    pub fn known(&self) -> Known {
        self.known.borrow().clone()
    }

    /// Waits for a look that begins after this call, and returns what it found.
    pub async fn look(&self, depth: Depth) -> Found {
        self.request(depth, false).await
    }

    /// Looks because somebody has reason to think that something changed: pools
    /// that wait before their next attempt try again at once.
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
        Found::only(self.known())
    }
}
