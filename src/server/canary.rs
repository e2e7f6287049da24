//! The pools of this process try a new version before anybody else uses it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::build::Built;
use crate::pool::{OnTrial, Pool};
use crate::secret::{Credential, SecretId, VersionId};

/// How long the version is used before the others may follow.
const SERVE: Duration = Duration::from_secs(5);
/// How long every pool may take to log in with it: a full one waits for a connection.
const LOGIN: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

/// The pools in use that have this secret, and do not stand still.
fn pools(built: &Built, secret: &SecretId) -> Vec<Arc<Pool>> {
    let mut pools = built.all_pools();
    pools.retain(|pool| {
        let counts = pool.counts();
        pool.secret == *secret && counts.in_use && !counts.paused
    });
    pools
}

/// Has every pool with the secret log in with a version, and serve clients with it for a while;
/// `None`: no pool has it. Afterwards, the pools go on with the version until [`end`] or until
/// the labels move.
///
/// # Errors
/// Why the version is not fit.
pub(super) async fn try_out(
    built: &Built,
    credential: &Arc<Credential>,
) -> Option<Result<String, String>> {
    let pools = pools(built, &credential.secret);
    if pools.is_empty() {
        return None;
    }
    let transactions = || -> u64 {
        let each = pools
            .iter()
            .map(|pool| pool.stats.transactions.load(Relaxed));
        each.sum()
    };
    for pool in &pools {
        pool.begin_trial(credential.clone());
    }
    if let Err(why) = adopted(&pools, &credential.version).await {
        return Some(Err(why));
    }
    let (began, before) = (Instant::now(), transactions());
    while began.elapsed() < SERVE {
        sleep(LOOK).await;
        for pool in &pools {
            if let OnTrial::Failed(why) = pool.on_trial(&credential.version, true) {
                return Some(Err(format!(
                    "database {} did not stay on it: {why}",
                    pool.name
                )));
            }
        }
    }
    let served = transactions() - before;
    Some(Ok(format!(
        "this replica has used it for {} s, and carried out {served} transactions",
        SERVE.as_secs()
    )))
}

async fn adopted(pools: &[Arc<Pool>], version: &VersionId) -> Result<(), String> {
    let deadline = Instant::now() + LOGIN;
    for pool in pools {
        loop {
            let why = match pool.on_trial(version, false) {
                OnTrial::InForce => break,
                OnTrial::NotYet(why) => why,
                OnTrial::Failed(why) => Some(why),
            };
            if Instant::now() > deadline {
                let why = why.unwrap_or_else(|| "no server connection became free".into());
                return Err(format!(
                    "database {} did not log in with it: {why}",
                    pool.name
                ));
            }
            sleep(LOOK).await;
        }
    }
    Ok(())
}

/// Whether a pool uses this version although it is not AWSCURRENT.
pub(super) fn is_trying(built: &Built, secret: &SecretId, version: &VersionId) -> bool {
    let pools = built.all_pools();
    let mut of_secret = pools.iter().filter(|pool| pool.secret == *secret);
    of_secret.any(|pool| pool.is_on_trial(version))
}

/// The pools return to AWSCURRENT.
pub(super) fn end(built: &Built, secret: &SecretId, version: &VersionId) {
    for pool in built.all_pools() {
        if pool.secret == *secret {
            pool.end_trial(version);
        }
    }
}
