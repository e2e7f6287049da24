//! Questions about many secrets in one call: with hundreds of secrets, one
//! BatchGetSecretValue for every twenty costs a twentieth of the calls.
//! <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_BatchGetSecretValue.html>

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tracing::{debug, warn};
use zeroize::Zeroize;

use crate::secret::{SecretId, VersionId};

/// Secrets that one BatchGetSecretValue may name (SecretIdList).
pub const BATCH: usize = 20;

type Waiting = (SecretId, oneshot::Sender<Option<VersionId>>);

#[derive(Clone)]
pub(super) struct Batches(Arc<Inner>);

struct Inner {
    client: Client,
    /// How long a question waits for others; zero: there are no batches.
    window: Duration,
    waiting: Mutex<Vec<Waiting>>,
    /// Whether the store has refused BatchGetSecretValue; it is not asked again.
    denied: AtomicBool,
}

impl Batches {
    pub fn new(client: Client, window: Duration) -> Self {
        Self(Arc::new(Inner {
            client,
            window,
            waiting: Mutex::default(),
            denied: AtomicBool::new(false),
        }))
    }

    /// The version that AWSCURRENT points at; `None` where the caller has to ask
    /// for this secret alone.
    pub async fn current(&self, id: &SecretId) -> Option<VersionId> {
        if self.0.window.is_zero() || self.0.denied.load(Ordering::Relaxed) {
            return None;
        }
        let (tell, told) = oneshot::channel();
        let (first, full) = {
            let mut waiting = self.0.waiting.lock();
            waiting.push((id.clone(), tell));
            let full = waiting.len() >= BATCH;
            (
                waiting.len() == 1,
                full.then(|| std::mem::take(&mut *waiting)),
            )
        };
        // In a task of its own, because the caller may stop waiting.
        let batches = self.clone();
        if let Some(full) = full {
            tokio::spawn(async move { batches.ask(full).await });
        } else if first {
            tokio::spawn(async move {
                tokio::time::sleep(batches.0.window).await;
                batches.ask(batches.take()).await;
            });
        }
        told.await.ok().flatten()
    }

    fn take(&self) -> Vec<Waiting> {
        let mut waiting = self.0.waiting.lock();
        std::mem::take(&mut *waiting)
    }

    async fn ask(&self, waiting: Vec<Waiting>) {
        let mut found = HashMap::new();
        if waiting.len() > 1 {
            let mut ids: Vec<String> = waiting
                .iter()
                .map(|(id, _)| id.within().to_owned())
                .collect();
            ids.sort_unstable();
            ids.dedup();
            found = self.batch(ids).await;
        }
        for (id, tell) in waiting {
            let _ = tell.send(found.get(id.within()).cloned());
        }
    }

    /// Asks for the versions of these secrets; the result has each under its name
    /// and under its ARN.
    async fn batch(&self, ids: Vec<String>) -> HashMap<String, VersionId> {
        let request = self.0.client.batch_get_secret_value();
        let answer = request.set_secret_id_list(Some(ids)).send().await;
        let mut found = HashMap::new();
        match answer {
            Ok(answer) => {
                for mut secret in answer.secret_values.unwrap_or_default() {
                    // The API sends the values along; only the VersionId is wanted.
                    secret.secret_string.zeroize();
                    let Some(version) = secret.version_id.map(VersionId::new) else {
                        continue;
                    };
                    for name in [secret.name, secret.arn].into_iter().flatten() {
                        found.insert(name, version.clone());
                    }
                }
            }
            Err(error) if error.code() == Some("AccessDeniedException") => {
                if !self.0.denied.swap(true, Ordering::Relaxed) {
                    warn!(
                        "secretsmanager:BatchGetSecretValue is not allowed, so each secret takes a call of its own; `pgvalet check` tells what that costs"
                    );
                }
            }
            // Each caller then asks alone, and reports what is wrong.
            Err(error) => debug!("BatchGetSecretValue: {:?}", error.code()),
        }
        found
    }
}

#[cfg(test)]
mod tests;
