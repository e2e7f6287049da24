//! Regular checks: of sessions that have reached a time limit, of sessions that hold a
//! connection past the drain deadline (if the database terminates them), of sessions that
//! can move to the generation in force, and of the certificate's files.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{debug, info, warn};

use super::build::Built;
use crate::audit::Record;
use crate::pool::{DrainDeadlineAction, Generation, Pool, SessionMigration};
use crate::session::{Context, Handle, Held, Overdue, Signal, Sweep};

/// How often limits, drain deadlines and the certificate are checked.
const CHECK: Duration = Duration::from_millis(500);

/// Checks limits, drain deadlines and the certificate until the proxy is gone.
pub async fn watch(built: Weak<Built>) {
    let mut tick = interval(CHECK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut limits = Sweep::default();
    loop {
        tick.tick().await;
        let Some(built) = built.upgrade() else { return };
        refresh_certificate(&built.context).await;
        for overdue in limits.look(&built.context.sessions) {
            act_on(overdue);
        }
        built.state.lock().pools.forget_ended();
        let sessions = built.context.sessions.all();
        for pool in built.all_pools() {
            let mut of_pool = sessions.iter().filter(|s| Arc::ptr_eq(&s.pool, &pool));
            end_overdue(&pool, &mut of_pool);
        }
    }
}

/// Records every `[audit] summary` what each session has done since the last time, until the
/// proxy is gone. What a session has done at its end is in the record of that.
pub async fn summarize(built: Weak<Built>) {
    let every = match built.upgrade() {
        Some(built) => built.state.lock().config.audit.summary,
        None => return,
    };
    loop {
        sleep(every).await;
        let Some(built) = built.upgrade() else { return };
        let audit = &built.context.audit;
        for session in built.context.sessions.all() {
            let uses = session.take_uses();
            if !uses.is_empty() {
                let record = Record::session_summary(session.session_ref(), uses);
                // One after the other: thousands at once would take all the room of the queue.
                // What cannot be written is counted, and the log says so.
                let _ = audit.record_durably(record).await;
            }
        }
    }
}

/// How often sessions are asked to move, if a pool lets sessions move.
const MOVE: Duration = Duration::from_millis(100);
/// How often it is checked whether a pool lets sessions move, while none does.
const NOBODY: Duration = Duration::from_secs(1);

/// Moves sessions of session mode that hold an older generation, the oldest generation
/// first. Also moves one session if a new version cannot be proved because sessions hold
/// all connections of the pool.
pub async fn migrate(built: Weak<Built>) {
    loop {
        let pause = {
            let Some(built) = built.upgrade() else { return };
            let mut pools = built.all_pools();
            pools.retain(|p| p.database().session_migration == SessionMigration::Safe);
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
    // Asking a session whether it can move costs a query, so only sessions of a draining
    // generation are asked.
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
        // Any session will do; it gets the next connection.
        holders
            .iter()
            .any(|(_, session)| session.signal_move(|_| true));
    }
    let old = |held: &Held| draining.iter().any(|g| Arc::ptr_eq(g, &held.generation));
    for (_, session) in &holders {
        session.signal_move(old);
    }
}

/// Asks sessions that hold a generation past its drain deadline to end.
fn end_overdue<'a>(pool: &Pool, sessions: &mut impl Iterator<Item = &'a Arc<Handle>>) {
    let database = &pool.database();
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
            warn!(session = id, %client, "drain deadline: the session ends between transactions, unless it gives its connection back first");
        }
    }
}

/// Reads the files on a thread for blocking work, because a disk may be slow.
async fn refresh_certificate(context: &Context) {
    let Some(certificate) = context.tls.certificate().cloned() else {
        return;
    };
    match tokio::task::spawn_blocking(move || certificate.refresh()).await {
        Ok(Ok(true)) => info!("[listen] certificate and key have been read again"),
        // A trouble, which the verdict says, with what to do.
        Ok(Err(e)) => debug!("[listen] {e}; keeping the current certificate"),
        Ok(Ok(false)) | Err(_) => {}
    }
}

/// Cancels the query, or logs the end, of a session that has reached a limit.
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
