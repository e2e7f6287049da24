//! Getting a connection, and giving it back.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::debug;

use super::connection::Proven;
use super::generation::Generation;
use super::queue::{Owner, Waiter};
use super::state::{Health, State};
use super::{Connection, Lease, Permit, Pool, Quota};
use crate::secret::SecretId;
use crate::upstream::SessionAttrs;

/// Why a client got no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckoutError {
    #[error("no server connection became free within pool_wait_timeout")]
    Timeout,
    #[error("the database server cannot be reached")]
    Down,
    /// SQLSTATE of a refusal that has nothing to do with the credential.
    #[error("the database server refused the connection ({0})")]
    Refused(Arc<str>),
    #[error("no version of secret \"{0}\" logs in")]
    NoWorkingVersion(SecretId),
    #[error("secret \"{0}\" cannot be read or is no credential")]
    SecretUnusable(SecretId),
    #[error("the pool is shutting down")]
    Shut,
}

/// How long a connection that was idle may take to answer.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a new generation takes over one connection at a time.
const GENTLE: Duration = Duration::from_secs(1);

/// A connection that a client may have.
enum Lent {
    Ready(Lease),
    /// It was idle for longer than `server_check_delay`.
    Stale(Lease),
    /// Another client has used it: it has to be cleaned first.
    Foreign(Lease),
}

impl Pool {
    /// A connection if one is free this instant, nobody is before us, and
    /// nothing has to be asked on it first. `client`: the identity it is for;
    /// `quota`: that of its rule.
    pub fn try_checkout(self: &Arc<Self>, client: &Arc<str>, quota: &Quota) -> Option<Lease> {
        let permit = quota.try_acquire()?;
        let mut state = self.state();
        if !state.waiters.is_empty() || state.shut {
            return None;
        }
        let at = state.idle.iter().rposition(|c| self.suits(c, client))?;
        if self.is_stale(&state.idle[at]) {
            return None; // it has to be tried first
        }
        let proven = self.remove_quiet(&mut state, at)?;
        let mut lease = self.lend(&mut state, proven, Some(client));
        lease.hold(permit);
        Some(lease)
    }

    /// Whether a client may use a connection as it is.
    pub(super) fn suits(&self, connection: &Connection, client: &Arc<str>) -> bool {
        match &connection.owner {
            Some(owner) if self.database.reset_between_clients => owner.is(client),
            _ => true,
        }
    }

    fn lend(
        self: &Arc<Self>,
        state: &mut State,
        mut proven: Proven,
        client: Option<&Arc<str>>,
    ) -> Lease {
        if let Some(client) = client {
            proven.owner.get_or_insert_with(|| state.shares.own(client));
        }
        state.leased += 1;
        self.stats.immediate.fetch_add(1, Relaxed);
        Lease::new(self.clone(), proven)
    }

    /// An idle connection: the hottest that the client may use as it is, or
    /// else the coldest, to be cleaned.
    fn take_idle(self: &Arc<Self>, state: &mut State, client: Option<&Arc<str>>) -> Option<Lent> {
        if !state.waiters.is_empty() || state.shut {
            return None;
        }
        loop {
            let own = match client {
                Some(client) => state.idle.iter().rposition(|c| self.suits(c, client)),
                None => state.idle.len().checked_sub(1),
            };
            let at = own.or_else(|| (!state.idle.is_empty()).then_some(0))?;
            let Some(proven) = self.remove_quiet(state, at) else {
                continue;
            };
            let (stale, foreign) = (self.is_stale(&proven), own.is_none());
            if foreign {
                // Where there is room, each identity gets a share of its own.
                if let Some(generation) = state.current.clone()
                    && matches!(state.health, Health::Good)
                    && state.opening == 0
                    && self.may_open(state)
                {
                    self.start_opening(state, generation);
                }
            }
            let lease = self.lend(state, proven, client);
            return Some(match (foreign, stale) {
                (true, _) => Lent::Foreign(lease),
                (false, true) => Lent::Stale(lease),
                (false, false) => Lent::Ready(lease),
            });
        }
    }

    /// Whether it was idle for so long that it has to be tried before it is
    /// used: a network that drops packets in silence gives no sign.
    fn is_stale(&self, connection: &Connection) -> bool {
        let delay = self.database.server_check_delay.as_secs();
        delay > 0 && self.seconds().saturating_sub(connection.idle_since) > delay
    }

    /// One round trip on a connection that was idle for long. Where there is no
    /// answer, the others like it are given up as well.
    async fn try_out(self: &Arc<Self>, mut lease: Lease) -> Option<Lease> {
        let limit = CHECK_TIMEOUT.min(self.database.upstream.connect_timeout);
        if matches!(timeout(limit, lease.ask(&[])).await, Ok(Ok(_))) {
            return Some(lease);
        }
        debug!(database = %self.database.name, pid = %lease.backend().pid, "an idle connection does not answer");
        let mut state = self.state();
        let (stale, good) = std::mem::take(&mut state.idle)
            .into_iter()
            .partition(|c| self.is_stale(c));
        state.idle = good;
        let stale: Vec<Proven> = stale;
        for connection in stale {
            self.retire(&mut state, connection);
        }
        None
    }

    /// Makes a connection that another client has used as good as new.
    async fn clean_for(&self, mut lease: Lease, client: &Option<Arc<str>>) -> Option<Lease> {
        let limit = CHECK_TIMEOUT.min(self.database.upstream.connect_timeout);
        let cleaned = async {
            lease.backend().cancels_landed().await;
            lease.clean().await
        };
        match timeout(limit, cleaned).await {
            Ok(Ok(())) => {
                lease.owner = client
                    .as_ref()
                    .map(|client| self.state().shares.own(client));
                self.facts_of(&lease);
                Some(lease)
            }
            Ok(Err(e)) => {
                debug!(pid = %lease.backend().pid, "not reusable: {e}");
                None
            }
            Err(_) => None,
        }
    }

    /// Takes an idle connection out, if it is still alive.
    fn remove_quiet(self: &Arc<Self>, state: &mut State, at: usize) -> Option<Proven> {
        let mut connection = state.idle.remove(at);
        if connection.is_alive() {
            return Some(connection);
        }
        debug!(database = %self.database.name, pid = %connection.backend().pid, "the server closed an idle connection");
        self.retire(state, connection);
        None
    }

    /// A connection for a client, within the quota of its rule, after those who
    /// came before.
    ///
    /// # Errors
    /// [`CheckoutError`]; after `pool_wait_timeout` at the latest.
    pub async fn checkout_within(
        self: &Arc<Self>,
        quota: &Quota,
        client: &Arc<str>,
    ) -> Result<Lease, CheckoutError> {
        let began = Instant::now();
        let permit = self.permit(quota).await?;
        let mut lease = self.checkout_since(began, Some(client)).await?;
        lease.hold(permit);
        Ok(lease)
    }

    /// Waits for a place in a quota, no longer than `pool_wait_timeout`.
    pub(super) async fn permit(&self, quota: &Quota) -> Result<Permit, CheckoutError> {
        timeout(self.database.pool_wait_timeout, quota.acquire())
            .await
            .map_err(|_| CheckoutError::Timeout)
    }

    /// A connection, after those who came before, whatever quota there is.
    /// `client`: the identity; `None` where no client will speak there.
    ///
    /// # Errors
    /// [`CheckoutError`]; after `pool_wait_timeout` at the latest.
    pub async fn checkout(
        self: &Arc<Self>,
        client: Option<&Arc<str>>,
    ) -> Result<Lease, CheckoutError> {
        self.checkout_since(Instant::now(), client).await
    }

    /// [`Pool::checkout`] for a client that waits since `began`, be it for
    /// something else.
    async fn checkout_since(
        self: &Arc<Self>,
        began: Instant,
        client: Option<&Arc<str>>,
    ) -> Result<Lease, CheckoutError> {
        loop {
            // Rare, and large: whoever waits is to be small.
            let lease = match self.take_or_wait(began, client).await? {
                Lent::Ready(lease) => return Ok(lease),
                Lent::Stale(lease) => Box::pin(self.try_out(lease)).await,
                Lent::Foreign(lease) => Box::pin(self.clean_for(lease, &client.cloned())).await,
            };
            if let Some(lease) = lease {
                return Ok(lease);
            }
        }
    }

    async fn take_or_wait(
        self: &Arc<Self>,
        began: Instant,
        client: Option<&Arc<str>>,
    ) -> Result<Lent, CheckoutError> {
        let delivery = {
            let mut state = self.state();
            // Under the lock under which we queue: a connection that came back
            // in between would lie idle with us waiting beside it.
            if let Some(lent) = self.take_idle(&mut state, client) {
                return Ok(lent);
            }
            if state.shut {
                return Err(CheckoutError::Shut);
            }
            if let Some(error) = self.hopeless(&state) {
                return Err(error);
            }
            let (sender, delivery) = oneshot::channel();
            state.waiters.push_back(Waiter {
                delivery: sender,
                since: began,
                client: self.line_of(client),
            });
            self.open_for_waiters(&mut state);
            delivery
        };
        let rest = self
            .database
            .pool_wait_timeout
            .saturating_sub(began.elapsed());
        let result = timeout(rest, delivery).await;
        self.metrics.checkout.record(began.elapsed().as_secs_f64());
        match result {
            Ok(Ok(delivery)) => delivery.map(Lent::Ready),
            Ok(Err(_)) => Err(CheckoutError::Shut),
            Err(_) => Err(CheckoutError::Timeout),
        }
    }

    /// Where there is neither a connection nor a prospect of one, waiting
    /// would only hide the cause.
    fn hopeless(&self, state: &State) -> Option<CheckoutError> {
        match &state.health {
            Health::Seeking { since, .. }
                if state.leased == 0 && since.elapsed() > self.database.rotation_grace =>
            {
                Some(self.seek_error())
            }
            Health::Down {
                cause, waits_until, ..
            } if state.leased == 0 && *waits_until <= Instant::now() => Some(cause.clone()),
            _ => None,
        }
    }

    pub(super) fn seek_error(&self) -> CheckoutError {
        if self.follower.known().current.is_none() {
            CheckoutError::SecretUnusable(self.secret.clone())
        } else {
            CheckoutError::NoWorkingVersion(self.secret.clone())
        }
    }

    /// A quiet connection comes back from a client, or is new.
    pub(super) fn give_back(self: &Arc<Self>, connection: Proven) {
        if connection.backend().has_cancel_in_flight() {
            let pool = self.clone();
            tokio::spawn(async move {
                connection.backend().cancels_landed().await;
                pool.give_back(connection);
            });
            return;
        }
        let mut state = self.state();
        state.leased -= 1;
        self.put(&mut state, connection);
    }

    /// Hands a quiet connection to whoever needs it most: the prober, somebody
    /// who waits, or the idle list; or retires it.
    pub(super) fn put(self: &Arc<Self>, state: &mut State, mut connection: Proven) {
        if state.shut {
            return self.retire(state, connection);
        }
        if let Some(prober) = state.slot_wanted.take() {
            return self.hand_over_slot(state, connection, prober);
        }
        let dead = !connection.is_alive();
        let lifetime = self.database.server_lifetime;
        // With logins failing, what still works is worth keeping.
        let good = matches!(state.health, Health::Good) || state.lingering;
        let worn = good && connection.age() > lifetime && !lifetime.is_zero();
        // While a new generation takes over, few connections are away at a
        // time, and the others work on.
        let old = good && !state.is_current(&connection.generation);
        let replaced = old && state.closing + state.opening < self.at_once(state);
        // Of the reserve, or of a pool that keeps nothing.
        let surplus =
            state.waiters.is_empty() && (state.lingering || state.open > self.database.pool_size);
        // Where clients asked for a primary or a standby, it must still be one.
        let changed = connection.generation.target.attrs != SessionAttrs::Any
            && connection.has_changed_role();
        // New logins find other defaults now.
        let outdated = good && self.is_outdated(state, &mut connection);
        if dead || worn || replaced || surplus || changed || outdated {
            self.retire(state, connection);
            return self.open_for_waiters(state);
        }
        while let Some(line) = state
            .waiters
            .turn(self.owner_of(&connection), &state.shares)
        {
            let Some(waiter) = state.waiters.first_of(line) else {
                break;
            };
            if waiter.delivery.is_closed() {
                state.waiters.take(line); // it has left
                continue;
            }
            if let Some(client) = &waiter.client
                && !self.suits(&connection, client)
            {
                state.leased += 1;
                let connection = connection.into_connection();
                return Self::clean_and_return(self.clone(), connection, false);
            }
            let Some(waiter) = state.waiters.take(line) else {
                break;
            };
            if let Some(client) = &waiter.client {
                connection
                    .owner
                    .get_or_insert_with(|| state.shares.own(client));
            }
            state.leased += 1;
            let lease = Lease::new(self.clone(), connection);
            match waiter.delivery.send(Ok(lease)) {
                Ok(()) => return,
                // The client has left; its lease must not drop here, where the
                // lock is held.
                Err(Ok(lease)) => {
                    state.leased -= 1;
                    match lease.into_proven() {
                        Some(back) => connection = back,
                        None => return,
                    }
                }
                Err(Err(_)) => return,
            }
        }
        connection.idle_since = self.seconds();
        state.idle.push(connection);
        if old {
            self.start_replacing(state);
        }
    }

    /// In which line a client waits: where connections are not cleaned between
    /// identities there is one for all.
    pub(super) fn line_of(&self, client: Option<&Arc<str>>) -> Option<Arc<str>> {
        client
            .filter(|_| self.database.reset_between_clients)
            .cloned()
    }

    /// The identity for which a connection need not be cleaned.
    fn owner_of<'a>(&self, connection: &'a Connection) -> Option<&'a Owner> {
        let owner = connection.owner.as_ref();
        owner.filter(|_| self.database.reset_between_clients)
    }

    /// How many connections may be away at a time because a new generation
    /// takes over. A login costs the server more than many transactions do, so
    /// that a burst of them is felt by everybody: first it goes gently, but a
    /// large pool, or a server far away, is not to take long either.
    fn at_once(&self, state: &State) -> usize {
        let current = state.current.as_ref();
        let since = current.and_then(|g| g.proven_at.elapsed().ok());
        match since {
            Some(since) if since < GENTLE => 1,
            _ => self.database.login_concurrency,
        }
    }

    fn hand_over_slot(
        self: &Arc<Self>,
        state: &mut State,
        connection: Proven,
        prober: oneshot::Sender<()>,
    ) {
        state.closing += 1;
        let connection = connection.into_connection();
        let pool = self.clone();
        tokio::spawn(async move {
            pool.close(connection, "replaced").await;
            let mut state = pool.state();
            state.closing -= 1;
            if prober.send(()).is_err() {
                pool.release_slot(&mut state);
            }
        });
    }

    /// Starts as many logins as waiters need and the ceiling allows.
    pub(super) fn open_for_waiters(self: &Arc<Self>, state: &mut State) {
        if !matches!(state.health, Health::Good) {
            return;
        }
        let Some(generation) = state.current.clone() else {
            return;
        };
        while state.opening < state.waiters.len() && self.may_open(state) {
            self.start_opening(state, generation.clone());
        }
    }

    pub(super) fn may_open(&self, state: &State) -> bool {
        let reserve = if state.reserve {
            self.database.reserve_pool_size
        } else {
            0
        };
        state.open < self.database.pool_size + reserve
            && state.opening < self.database.login_concurrency
            && !state.shut
    }

    pub(super) fn start_opening(self: &Arc<Self>, state: &mut State, generation: Arc<Generation>) {
        state.open += 1;
        state.opening += 1;
        let pool = self.clone();
        tokio::spawn(async move { pool.open_and_put(generation).await });
    }
}
