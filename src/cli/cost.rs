//! What it costs to follow secrets in AWS Secrets Manager.
//! <https://aws.amazon.com/secrets-manager/pricing/>

use std::time::Duration;

use super::words;
use crate::base::duration;
use crate::config::{Config, StoreKind};
use crate::secret::{BATCH, batch_window};

const DOLLARS_PER_CALL: f64 = 0.05 / 10_000.0;
const DOLLARS_PER_SECRET: f64 = 0.40;
const MONTH: Duration = Duration::from_secs(365 * 24 * 3600 / 12);

/// The cost of a month in one line, or `None` for a store that costs nothing.
pub(super) fn per_month(config: &Config) -> Option<String> {
    if !matches!(config.store.kind, StoreKind::Aws { .. }) {
        return None;
    }
    let mut secrets: Vec<_> = config
        .uses()
        .into_iter()
        .map(|(_, secret)| secret)
        .collect();
    secrets.sort();
    secrets.dedup();
    let calls = calls_per_month(secrets.len(), config.store.refresh);
    Some(format!(
        "{} looked up every {}: about {calls:.0} calls a month for each proxy, ${:.2}, beside ${:.2} for keeping them (AWS list price)",
        words::count(secrets.len(), "secret"),
        duration::format(config.store.refresh),
        calls * DOLLARS_PER_CALL,
        secrets.len() as f64 * DOLLARS_PER_SECRET,
    ))
}

/// Each secret is looked up at a random moment of `refresh`; look-ups that fall
/// into the window of another one share its call.
fn calls_per_month(secrets: usize, refresh: Duration) -> f64 {
    let (n, refresh_s) = (secrets as f64, refresh.as_secs_f64());
    let window = batch_window(refresh).as_secs_f64();
    let together = (1.0 + (n - 1.0).max(0.0) * window / refresh_s).min(BATCH as f64);
    n / together * MONTH.as_secs_f64() / refresh_s
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_secrets_cost_few_calls() {
        let minute = Duration::from_secs(60);
        assert_eq!(calls_per_month(0, minute), 0.0);
        assert_eq!(calls_per_month(1, minute), 43_800.0);
        // 500 secrets in calls of twenty.
        assert_eq!(calls_per_month(500, minute), 25.0 * 43_800.0);
        assert!(calls_per_month(100, minute) < 20.0 * 43_800.0);
    }
}
