//! What it costs to follow secrets in AWS Secrets Manager.
//! <https://aws.amazon.com/secrets-manager/pricing/>

use std::time::Duration;

use super::{stores, words};
use crate::base::duration;
use crate::config::{Config, StoreKind};
use crate::secret::{BATCH, batch_window};

const DOLLARS_PER_CALL: f64 = 0.05 / 10_000.0;
const DOLLARS_PER_SECRET: f64 = 0.40;
const MONTH: Duration = Duration::from_secs(365 * 24 * 3600 / 12);

/// The cost of a month in one line for each store that costs something.
pub(super) fn per_month(config: &Config) -> Vec<String> {
    let used = stores::used(config);
    let aws = config.stores.iter();
    let aws = aws.filter(|(_, store)| matches!(store.kind, StoreKind::Aws { .. }));
    aws.map(|(name, store)| {
        let secrets = used.iter().filter(|s| s.store() == name.as_deref());
        let of = name
            .as_deref()
            .map_or_else(String::new, |n| format!("{n}: "));
        format!("{of}{}", of_store(secrets.count(), store.refresh))
    })
    .collect()
}

fn of_store(secrets: usize, refresh: Duration) -> String {
    let calls = calls_per_month(secrets, refresh);
    format!(
        "{} looked up every {}: about {calls:.0} calls a month for each proxy, ${:.2}, beside ${:.2} for keeping them (AWS list price)",
        words::count(secrets, "secret"),
        duration::format(refresh),
        calls * DOLLARS_PER_CALL,
        secrets as f64 * DOLLARS_PER_SECRET,
    )
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
