//! One look at the store: has AWSCURRENT moved, and which other versions may
//! log in?

use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::join_all;
use tracing::{debug, info, warn};

use super::{Depth, Follower, Found, Known};
use crate::secret::{
    AWSCURRENT, AWSPENDING, AWSPREVIOUS, Credential, Labels, Standing, StoreError, VersionId,
    Which, version_with,
};

/// Versions without a label that are worth a try: a rotation that was cancelled
/// or overtaken leaves its password in one of them.
pub(super) const UNLABELLED: usize = 5;
/// Warnings that are remembered, so that each is logged once. Bounded, because
/// a store may word the same failure differently each time.
const WARNINGS: usize = 64;

impl Follower {
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

    /// Fetches a version that is merely worth a try: one that cannot be read is
    /// passed over, with one warning.
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
            self.warn_once(&format!("passed over {standing}"), error);
        }
        Ok(fetched?.map(|credential| (standing, credential)))
    }

    /// Looks once: has AWSCURRENT moved, and to which version? Which others are
    /// there, as far as `depth` goes?
    pub(super) async fn examine(&self, before: &Known, depth: Depth) -> Found {
        let labels = match self.store.describe(&self.secret).await {
            Ok(description) => Some(Arc::new(description.versions)),
            // Reading the value is what counts; DescribeSecret may be forbidden.
            Err(StoreError::Denied(_)) => None,
            Err(e) => {
                self.metrics.fetch(e.kind());
                return Found::only(self.failed(before, &e));
            }
        };
        if let Some(labels) = &labels {
            self.versions.lock().forget(labels);
        }
        let mut known = self.current(before, labels.clone()).await;
        let mut others = Vec::new();
        if depth >= Depth::Labelled {
            others = self.labelled(labels.as_deref(), &mut known).await;
        }
        if depth >= Depth::All {
            others.extend(self.unlabelled(labels.as_deref()).await);
        }
        Found { known, others }
    }

    /// AWSCURRENT, fetched unless the labels say that it has not moved.
    async fn current(&self, before: &Known, labels: Option<Arc<Labels>>) -> Known {
        let mut known = Known {
            labels,
            ..before.clone()
        };
        let version = before.current.as_ref().map(|c| &c.version);
        let labels = known.labels.as_ref();
        let moved = version.is_none()
            || labels.is_none_or(|labels| version_with(labels, AWSCURRENT) != version);
        if moved {
            match self.fetch(&Which::current(), Standing::Current).await {
                Ok(found) => known.current = found,
                Err(e) => return self.failed(&known, &e),
            }
        } else {
            self.metrics.fetch("ok");
        }
        if let Some(new) = &known.current
            && version != Some(&new.version)
        {
            info!(secret = %self.secret, version = %new.version, "AWSCURRENT found");
        }
        Known {
            confirmed_at: Some(SystemTime::now()),
            error: None,
            failing: None,
            ..known
        }
    }

    /// AWSPENDING and AWSPREVIOUS, where they are.
    async fn labelled(
        &self,
        labels: Option<&Labels>,
        known: &mut Known,
    ) -> Vec<(Standing, Arc<Credential>)> {
        let fetch = |standing, label: &'static str| async move {
            let version = match labels {
                Some(labels) => match version_with(labels, label) {
                    Some(version) => Some(version),
                    // AWSPENDING is asked for even where it is on no version: so
                    // it shows before it matters whether it may be read, and the
                    // label may have been set since the store described it.
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

    /// The newest versions without a label.
    async fn unlabelled(&self, labels: Option<&Labels>) -> Vec<(Standing, Arc<Credential>)> {
        let versions = match self.store.versions(&self.secret).await {
            Ok(versions) => versions,
            Err(error) => {
                self.warn_once("versions without a label cannot be listed", &error);
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

    fn warn_once(&self, what: &str, error: &StoreError) {
        let text = error.to_string();
        let mut warned = self.warned.lock();
        if warned.len() < WARNINGS && warned.insert(text.clone()) {
            warn!(secret = %self.secret, "{what}: {text}");
        }
    }

    fn failed(&self, before: &Known, error: &StoreError) -> Known {
        let text: Arc<str> = error.to_string().into();
        // Once for each kind of failure, because the texts of one outage take turns. What
        // lasts is a trouble, and said as one.
        if before.failing != Some(error.kind()) {
            let kept = if before.current.is_some() {
                "; the last known version stays in force"
            } else {
                ""
            };
            debug!(secret = %self.secret, "secret cannot be read: {text}{kept}");
        }
        Known {
            error: Some(text),
            failing: Some(error.kind()),
            ..before.clone()
        }
    }
}
