//! Ends sessions whose access has ended because of the time, or because the files that say
//! which client certificates are accepted have changed.

use std::sync::Weak;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use super::build::Built;
use crate::session::{Cause, Context, Revoke};

/// How often the clock and the files are checked.
const EVERY: Duration = Duration::from_secs(1);

/// Runs until the proxy is gone.
pub async fn watch(built: Weak<Built>) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let Some(built) = built.upgrade() else { return };
        let cause = match trust_changed(&built.context).await {
            true => Cause::Change,
            false => Cause::Time,
        };
        let how = {
            let state = built.state.lock();
            state.config.listen.revoke
        };
        revoke(&built.context, cause, how);
    }
}

/// Reads the files on a thread for blocking work, because a disk may be slow.
async fn trust_changed(context: &Context) -> bool {
    let Some(trust) = context.client_trust.clone() else {
        return false;
    };
    match tokio::task::spawn_blocking(move || trust.refresh()).await {
        Ok(Ok(changed)) => {
            if changed {
                info!("[listen] client_ca and client_crl have been read again");
            }
            changed
        }
        Ok(Err(e)) => {
            // A trouble, which the verdict says, with what to do.
            debug!("[listen] {e}; keeping the current client CA and revocation lists");
            false
        }
        Err(_) => false,
    }
}

/// Ends the sessions whose access has ended.
pub fn revoke(context: &Context, cause: Cause, how: Revoke) {
    for (session, reason) in context.revoke_lapsed(cause, how) {
        let when = match how {
            Revoke::Idle => "between transactions",
            Revoke::Now => "at once",
        };
        warn!(session = session.id, client = %session.client, "access has ended ({reason}): the session ends {when}");
    }
    for (console, reason) in context.revoke_consoles(cause) {
        warn!(session = console.id, client = %console.client, "access has ended ({reason}): the console session ends");
    }
}
