//! What the follower of a secret measures.

use std::sync::Arc;

use super::SecretId;
use crate::metrics::{Counter, Family, Metrics};

const FETCHES: Family<Counter, 2> = Family::new(
    "pgvalet_secret_fetches_total",
    "Questions put to the secret store, by secret and outcome.",
    ["secret", "outcome"],
);

/// The counter of questions. They are rare enough to look the series up each time.
pub(super) struct SecretMetrics {
    registry: Arc<Metrics>,
    secret: SecretId,
}

impl SecretMetrics {
    pub fn new(registry: &Arc<Metrics>, secret: &SecretId) -> Self {
        Self {
            registry: registry.clone(),
            secret: secret.clone(),
        }
    }

    /// `outcome`: `ok`, or [`StoreError::kind`](super::StoreError::kind), or `malformed`.
    pub fn fetch(&self, outcome: &str) {
        let labels = [self.secret.as_str(), outcome];
        self.registry.series(&FETCHES, labels).increment(1);
    }
}
