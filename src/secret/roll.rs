//! Looks that can wait a moment, asked together: with hundreds of secrets a
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

use super::{SecretId, VersionId};

/// SecretIdList has no more.
pub const MOST: usize = 20;

type Waiting = (SecretId, oneshot::Sender<Option<VersionId>>);

#[derive(Clone)]
pub(super) struct Roll(Arc<Inner>);

struct Inner {
    client: Client,
    /// How long a look waits for others; zero: there is no asking together.
    window: Duration,
    waiting: Mutex<Vec<Waiting>>,
    /// BatchGetSecretValue is forbidden.
    denied: AtomicBool,
}

impl Roll {
    pub fn new(client: Client, window: Duration) -> Self {
        Self(Arc::new(Inner {
            client,
            window,
            waiting: Mutex::default(),
            denied: AtomicBool::new(false),
        }))
    }

    /// The version of AWSCURRENT; `None` where it has to be asked for alone.
    pub async fn current(&self, id: &SecretId) -> Option<VersionId> {
        if self.0.window.is_zero() || self.0.denied.load(Ordering::Relaxed) {
            return None;
        }
        let (tell, told) = oneshot::channel();
        let (first, full) = {
            let mut waiting = self.0.waiting.lock();
            waiting.push((id.clone(), tell));
            let full = waiting.len() >= MOST;
            (
                waiting.len() == 1,
                full.then(|| std::mem::take(&mut *waiting)),
            )
        };
        // Not by whoever asks: it may go away in the middle.
        let roll = self.clone();
        if let Some(full) = full {
            tokio::spawn(async move { roll.ask(full).await });
        } else if first {
            tokio::spawn(async move {
                tokio::time::sleep(roll.0.window).await;
                roll.ask(roll.take()).await;
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
            let mut ids: Vec<String> = waiting.iter().map(|(id, _)| id.to_string()).collect();
            ids.sort_unstable();
            ids.dedup();
            found = self.batch(ids).await;
        }
        for (id, tell) in waiting {
            let _ = tell.send(found.get(id.as_str()).cloned());
        }
    }

    /// Versions by name and by ARN.
    async fn batch(&self, ids: Vec<String>) -> HashMap<String, VersionId> {
        let request = self.0.client.batch_get_secret_value();
        let answer = request.set_secret_id_list(Some(ids)).send().await;
        let mut found = HashMap::new();
        match answer {
            Ok(answer) => {
                for mut secret in answer.secret_values.unwrap_or_default() {
                    // Nobody wants to see it here.
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
                        "secretsmanager:BatchGetSecretValue is not allowed, so each secret is looked at by itself; `pgvalet check` tells what that costs"
                    );
                }
            }
            // Whoever asked for one asks alone, and says what is wrong.
            Err(error) => debug!("BatchGetSecretValue: {:?}", error.code()),
        }
        found
    }
}

#[cfg(test)]
mod tests;
