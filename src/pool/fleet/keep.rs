//! The task that keeps the share of a replica: it looks at the pool four times a second, and at
//! the ledger of all replicas once a second, or as often while somebody lacks connections.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::super::Pool;
use super::bound::Seen;
use super::ledger::{Entry, Ledger};
use super::plan::{Member, Standing, Step, step};
use super::sql::Answer;
use super::stuck::Hindrance;
use crate::base::jitter::jittered;
use crate::rotation::alternate;
use crate::upstream::QueryError;

const LOOK: Duration = Duration::from_millis(250);
const REST: Duration = Duration::from_secs(1);
/// Who has one connection has none to give: it looks seldom, so that hundreds of idle replicas
/// ask the server little.
const IDLE: Duration = Duration::from_secs(3);
/// The demand is the largest of so many looks, because transactions come and go.
const LOOKS: usize = 8;
/// The connections in no ledger are the fewest of so many answers.
const LEFT: usize = 5;
/// The pause after a ledger was lost, or could not be had.
const AGAIN: Duration = Duration::from_millis(500);

pub(super) async fn run(pool: Weak<Pool>) {
    let mut keeper = Keeper::default();
    loop {
        let Some(pool) = pool.upgrade() else { return };
        let pause = keeper.look(&pool).await;
        drop(pool);
        match pause {
            Some(pause) => sleep(jittered(pause)).await,
            None => return,
        }
    }
}

#[derive(Default)]
struct Keeper {
    ledger: Option<Ledger>,
    demands: VecDeque<usize>,
    others: Vec<Member>,
    free: Option<usize>,
    /// How many connections stood in no ledger, as last seen. A connection that has just logged
    /// in does not for a moment.
    left: VecDeque<usize>,
    asked_at: Option<Instant>,
    /// Somebody lacks connections, or something is on its way.
    hurry: bool,
    /// The log says that there are more replicas than connections.
    warned: bool,
}

/// How a pool stands.
struct Look {
    /// `fleet_size`.
    of: Option<usize>,
    /// The pool ends, its database is not used any more, or somebody drops that.
    ends: bool,
    used: usize,
    demand: usize,
}

impl Pool {
    fn look_at_share(&self) -> Look {
        let mut state = self.state();
        let sessions = Self::ledger_slots(&state);
        let waiting = state.waiting();
        let database = self.database();
        let slots = &state.slots;
        // Clients wait for the logins that are under way.
        let busy = slots.leased().saturating_sub(sessions) + slots.opening().max(waiting);
        Look {
            of: database.fleet_size,
            ends: state.shut || state.lingering || (state.vacant.is_some() && waiting == 0),
            used: slots.own().saturating_sub(sessions),
            demand: busy
                .min(database.pool_size + database.reserve_pool_size)
                .max(database.min_pool_size)
                .max(1),
        }
    }

    /// The process ids of its connections, but for `mine`, and their roles.
    fn listed(&self, mine: &[i32]) -> (BTreeSet<i32>, BTreeSet<String>) {
        let (mut pids, mut roles) = (BTreeSet::new(), BTreeSet::new());
        for server in self.servers() {
            let pid = server.connection.backend.pid.0;
            if !mine.contains(&pid) {
                pids.insert(pid);
            }
            roles.insert(server.generation.credential.username.clone());
        }
        let known = self.follower.known().current;
        roles.extend(known.map(|credential| credential.username.clone()));
        (pids, roles)
    }

    /// The roles of the replicas: those of all pools of this database, and the users that take
    /// turns with them. `None` while a secret has not been read, so that its users are not known.
    fn trusted(&self, own: &BTreeSet<String>) -> Option<BTreeSet<String>> {
        let mut roles = own.clone();
        for pool in self.kin.of(&self.name) {
            let known = pool.follower.known().current?;
            roles.insert(known.username.clone());
        }
        let others: Vec<String> = roles.iter().filter_map(|r| alternate(r).ok()).collect();
        roles.extend(others);
        Some(roles)
    }
}

impl Keeper {
    /// The pause until the next look; `None`: there is no share to keep any more.
    async fn look(&mut self, pool: &Arc<Pool>) -> Option<Duration> {
        let look = pool.look_at_share();
        let Some(of) = look.of else {
            self.end(pool);
            let mut state = pool.state();
            state.fleet = None;
            pool.open_for_waiters(&mut state);
            return None;
        };
        if look.ends && look.used == 0 {
            if self.ledger.is_some() {
                pool.share_is_unproven();
                self.end(pool);
            }
            return Some(LOOK);
        }
        self.demands.push_back(look.demand);
        if self.demands.len() > LOOKS {
            self.demands.pop_front();
        }
        if self.ledger.is_none() && !self.begin(pool).await {
            return Some(AGAIN);
        }
        self.move_on(pool, of).await;
        let Some(ledger) = &mut self.ledger else {
            return Some(AGAIN);
        };
        let demand = self.demands.iter().copied().max().unwrap_or(1);
        let rest = match ledger.share() {
            0 | 1 => IDLE,
            _ => REST,
        };
        // What the server says unasked may be that it hangs up.
        let due = self.asked_at.is_none_or(|at| at.elapsed() >= rest)
            || self.hurry
            || demand > ledger.share()
            || !ledger.lease.is_alive();
        if due && let Err(e) = self.write(pool, of, demand).await {
            self.lose(pool, &e);
            return Some(AGAIN);
        }
        Some(LOOK)
    }

    /// Opens the ledger.
    async fn begin(&mut self, pool: &Arc<Pool>) -> bool {
        let Some(lease) = pool.ledger_session().await else {
            return false;
        };
        match Ledger::open(lease, &pool.name).await {
            Ok(ledger) => {
                debug!(database = %pool.name, pid = ledger.pid(), "the share of this replica is kept by this session");
                self.ledger = Some(ledger);
                (self.free, self.asked_at) = (None, None);
                true
            }
            Err((lease, e)) => {
                debug!(database = %pool.name, "no session for the share of this replica: {e}");
                pool.share_is_stuck(Hindrance::of(&e));
                pool.end_session(lease);
                false
            }
        }
    }

    /// Moves the ledger to a connection of the version in force. Both hold the share meanwhile.
    async fn move_on(&mut self, pool: &Arc<Pool>, of: usize) {
        let moves = |ledger: &Ledger| pool.ledger_moves(&ledger.lease);
        if !self.ledger.as_ref().is_some_and(moves) {
            return;
        }
        let Some(lease) = pool.ledger_session().await else {
            return;
        };
        let mut new = match Ledger::open(lease, &pool.name).await {
            Ok(new) => new,
            Err((lease, _)) => return pool.end_session(lease),
        };
        let Some(old) = &self.ledger else {
            return pool.end_session(new.lease);
        };
        let mine = vec![old.pid(), new.pid()];
        let (pids, roles) = pool.listed(&mine);
        let entry = Entry {
            trusted: pool.trusted(&roles),
            pids,
            demand: self.demands.iter().copied().max().unwrap_or(1),
            down_to: usize::MAX,
            upto: 0,
            of,
            mine,
            roles,
        };
        match new.write(&entry, old.share()).await {
            Ok(_) => {
                if let Some(old) = self.ledger.replace(new) {
                    pool.end_session(old.lease);
                }
            }
            Err(_) => pool.end_session(new.lease),
        }
    }

    /// Writes into the ledger how this replica stands, and does what follows from the others.
    async fn write(
        &mut self,
        pool: &Arc<Pool>,
        of: usize,
        demand: usize,
    ) -> Result<(), QueryError> {
        let Some(ledger) = &mut self.ledger else {
            return Ok(());
        };
        let seen = Seen {
            replicas: self.others.len() + 1,
            demand,
        };
        let standing = |ledger: &Ledger| Standing {
            of,
            share: ledger.share(),
            used: pool.look_at_share().used,
            demand,
            left: self.left.iter().copied().min().unwrap_or(0),
            free: self.free,
        };
        let mut next = step(&standing(ledger), &self.others);
        if let Step::Shrink { limit, .. } = next {
            // First the pool, so that nothing is opened when it is counted what is left.
            pool.set_share(limit, seen);
            next = step(&standing(ledger), &self.others);
        }
        let mine = vec![ledger.pid()];
        let (pids, roles) = pool.listed(&mine);
        let (down_to, upto) = match next {
            Step::Shrink { share, .. } => (share, 0),
            Step::Grow { upto } => (usize::MAX, upto),
        };
        let entry = Entry {
            trusted: pool.trusted(&roles),
            pids,
            demand,
            down_to,
            upto,
            of,
            mine,
            roles,
        };
        let answer = match ledger.write(&entry, 0).await {
            Ok(answer) => answer,
            // Another replica has its turn, which is a moment as a rule: the next look will do.
            Err(QueryError::Refused(fields)) if fields.sqlstate == "55P03" => {
                if let Some(holder) = ledger.holder().await {
                    pool.share_is_stuck(Hindrance::Turn(holder));
                }
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        pool.share_is_free();
        self.asked_at = Some(Instant::now());
        let limit = match next {
            Step::Shrink { limit, .. } => limit,
            Step::Grow { .. } => answer.share,
        };
        self.note(pool, &answer, limit, demand);
        Ok(())
    }

    fn note(&mut self, pool: &Arc<Pool>, answer: &Answer, limit: usize, demand: usize) {
        let first = self.free.is_none();
        self.hurry = first || limit < answer.share || self.others != answer.others;
        self.free = Some(answer.free);
        self.left.push_back(answer.left);
        if self.left.len() > LEFT {
            self.left.pop_front();
        }
        self.others.clone_from(&answer.others);
        let seen = Seen {
            replicas: self.others.len() + 1,
            demand,
        };
        let of = pool.database().fleet_size.unwrap_or(usize::MAX);
        if seen.replicas > of && !std::mem::replace(&mut self.warned, true) {
            warn!(
                database = %pool.name,
                "{} replicas share fleet_size = {of}, so that some have no connection; raise it",
                seen.replicas
            );
        }
        // After the first look at the ledger, nothing is known yet of what may be had: what is
        // open stays.
        if !first {
            pool.set_share(limit, seen);
        }
    }

    /// The ledger is lost, and with it the proof of the share.
    fn lose(&mut self, pool: &Arc<Pool>, why: &QueryError) {
        // What lasts is a trouble, which the log has as well.
        if pool.share_is_stuck(Hindrance::of(why)) {
            info!(
                database = %pool.name,
                "the share of fleet_size is not held any more, so no connection is opened until it is again: {why}"
            );
        }
        pool.share_is_unproven();
        self.end(pool);
    }

    fn end(&mut self, pool: &Arc<Pool>) {
        if let Some(ledger) = self.ledger.take() {
            pool.end_session(ledger.lease);
        }
        self.free = None;
    }
}
