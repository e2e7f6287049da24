//! Now and then: sessions that hold a connection of a generation past its drain
//! deadline, where the database is configured so, sessions that can move to the
//! generation in force, and sessions that have reached one of their limits.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{info, warn};

use super::build::Built;
use crate::pool::{DrainDeadlineAction, Generation, Pool, SessionMigration};
use crate::session::{Context, Handle, Held, Overdue, Signal, Sweep};

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
        let sessions = built.context.sessions.all();
        for pool in built.all_pools() {
            let mut of_pool = sessions.iter().filter(|s| Arc::ptr_eq(&s.pool, &pool));
            end_overdue(&pool, &mut of_pool);
        }
    }
}

/// How often sessions are looked at that could move, and how often it is asked
/// whether any pool lets them.
const MOVE: Duration = Duration::from_millis(100);
const NOBODY: Duration = Duration::from_secs(1);

/// Sessions of session mode that hold an older generation move, the oldest
/// first; and one of them makes room where a version cannot be proved, because
/// all is held.
pub async fn migrate(built: Weak<Built>) {
    loop {
        let pause = {
            let Some(built) = built.upgrade() else { return };
            let mut pools = built.all_pools();
            pools.retain(|p| p.database.session_migration == SessionMigration::Safe);
            for pool in &pools {
                move_sessions(pool, &built.context);
            }
            if pools.is_empty() { NOBODY } else { MOVE }
        };
        sleep(pause).await;
    }
}

fn move_sessions(pool: &Arc<Pool>, context: &Context) {
    let wants_slot = pool.wants_slot();
    // To ask a session what it holds costs a query: not for nothing.
    let draining = match pool.lets_sessions_move() {
        true => pool.overdue(Duration::ZERO),
        false => Vec::new(),
    };
    if !wants_slot && draining.is_empty() {
        return;
    }
    let mut holders: Vec<_> = (context.sessions.all().into_iter())
        .filter(|s| Arc::ptr_eq(&s.pool, pool))
        .filter_map(|session| Some((session.held()?.generation.number, session)))
        .collect();
    holders.sort_by_key(|(generation, _)| *generation);
    if wants_slot {
        // Whoever it is: it gets the next one.
        holders
            .iter()
            .any(|(_, session)| session.signal_move(|_| true));
    }
    let old = |held: &Held| draining.iter().any(|g| Arc::ptr_eq(g, &held.generation));
    for (_, session) in &holders {
        session.signal_move(old);
    }
}

fn end_overdue<'a>(pool: &Pool, sessions: &mut impl Iterator<Item = &'a Arc<Handle>>) {
    let database = &pool.database;
    if database.drain_deadline_action != DrainDeadlineAction::Terminate {
        return;
    }
    let overdue = pool.overdue(database.drain_timeout);
    let long_overdue = match database.drain_hard_timeout {
        Duration::ZERO => Vec::new(),
        limit => pool.overdue(limit),
    };
    if overdue.is_empty() {
        return;
    }
    let is_one =
        |held: &Held, of: &[Arc<Generation>]| of.iter().any(|g| Arc::ptr_eq(g, &held.generation));
    for session in sessions {
        let (id, client) = (session.id, &session.client);
        if session.signal_if_holding(Signal::DrainNow, |held| is_one(held, &long_overdue)) {
            warn!(session = id, %client, "drain_hard_timeout: the session ends, whatever it is doing");
        } else if session.signal_if_holding(Signal::DrainDeadline, |held| is_one(held, &overdue)) {
            warn!(session = id, %client, "drain deadline: the session ends between transactions, unless it lets go before");
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
        Ok(Err(e)) => warn!("[listen] {e}; keeping the current certificate"),
        Ok(Ok(false)) | Err(_) => {}
    }
}

fn act_on(overdue: Overdue) {
    match overdue {
        Overdue::Query(session, mark) => {
            warn!(session = session.id, client = %session.client, database = %session.database(), "query_timeout: the query is cancelled");
            tokio::spawn(async move { session.cancel_overdue(mark).await });
        }
        Overdue::Ended(session, signal) => {
            let limit = match signal {
                Signal::QueryTimeout => "query_timeout",
                Signal::IdleInTransaction => "idle_transaction_timeout",
                _ => "client_idle_timeout",
            };
            warn!(session = session.id, client = %session.client, database = %session.database(), "{limit}: the session ends");
        }
    }
}
