//! Twice a second: sessions that hold a connection of a generation past its
//! drain deadline, where the database is configured so, and sessions that have
//! reached one of their limits.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::build::Built;
use crate::config::DrainDeadlineAction;
use crate::session::{Context, Held, Overdue, Signal, Sweep};

pub async fn watch(built: Weak<Built>) {
    let mut tick = interval(Duration::from_millis(500));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut limits = Sweep::default();
    loop {
        tick.tick().await;
        let Some(built) = built.upgrade() else { return };
        refresh_certificate(&built.context).await;
        for overdue in limits.look(&built.context.sessions) {
            act_on(overdue);
        }
        for pool in built.all_pools() {
            if pool.database.drain_deadline_action != DrainDeadlineAction::Terminate {
                continue;
            }
            let overdue = pool.overdue(pool.database.drain_timeout);
            if overdue.is_empty() {
                continue;
            }
            for session in built.context.sessions.all() {
                let same_pool =
                    session.database == pool.database.name && session.secret == pool.secret;
                // By identity: two pools of one name count for themselves.
                let old = |held: &Held| overdue.iter().any(|g| Arc::ptr_eq(g, &held.generation));
                if same_pool && session.signal_holder(Signal::DrainDeadline, old) {
                    warn!(session = session.id, client = %session.client, "drain deadline: the session ends between transactions, unless it lets go before");
                }
            }
        }
    }
}

/// Files are read elsewhere: a disk may take its time.
async fn refresh_certificate(context: &Context) {
    let Some(certificate) = context.tls.certificate().cloned() else {
        return;
    };
    match tokio::task::spawn_blocking(move || certificate.refresh()).await {
        Ok(Ok(true)) => info!("[listen] certificate and key have been read again"),
        Ok(Err(e)) => warn!("[listen] {e}; the certificate that was shown is shown on"),
        Ok(Ok(false)) | Err(_) => {}
    }
}

fn act_on(overdue: Overdue) {
    match overdue {
        Overdue::Query(session, mark) => {
            warn!(session = session.id, client = %session.client, database = %session.database, "query_timeout: the query is cancelled");
            tokio::spawn(async move { session.cancel_overdue(mark).await });
        }
        Overdue::Ended(session, signal) => {
            let limit = match signal {
                Signal::QueryTimeout => "query_timeout",
                Signal::IdleInTransaction => "idle_transaction_timeout",
                _ => "client_idle_timeout",
            };
            warn!(session = session.id, client = %session.client, database = %session.database, "{limit}: the session ends");
        }
    }
}
