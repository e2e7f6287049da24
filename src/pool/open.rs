//! Logins and goodbyes of a pool's connections.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tracing::{debug, warn};

use super::connection::Proven;
use super::generation::Generation;
use super::state::{Health, State};
use super::{CheckoutError, Connection, Pool};
use crate::audit::{Cause, Record, ServerRef};
use crate::upstream::{self, Backend, ConnectError, QueryError, Quiet, Target, Wishes};

/// How long clients are kept waiting for a server that says that it is
/// starting up: a restart takes no longer, a recovery may take hours.
const START_UP: Duration = Duration::from_secs(10);

impl Pool {
    /// One login, recorded whichever way it ends. The caller holds a slot.
    pub(super) async fn login(
        self: &Arc<Self>,
        generation: &Arc<Generation>,
    ) -> Result<Proven, ConnectError> {
        self.login_with(generation, &Wishes::default()).await
    }

    /// The same, for who asks for more than a session.
    pub(super) async fn login_with(
        self: &Arc<Self>,
        generation: &Arc<Generation>,
        wishes: &Wishes,
    ) -> Result<Proven, ConnectError> {
        let began = Instant::now();
        let arriving = Arriving::new(self, generation);
        let mut abandoned = Vec::new();
        let result = upstream::connect_with(
            &generation.target,
            &generation.credential,
            &generation.keys,
            self.database.upstream.connect_timeout,
            wishes,
            &mut abandoned,
        )
        .await;
        self.keep_slots(generation, abandoned);
        match result {
            Ok((server, quiet)) => {
                self.metrics.login.record(began.elapsed().as_secs_f64());
                self.audit.record(Record::server_open(
                    self.database.name.clone(),
                    self.credential_ref(&generation.credential),
                    server_ref(&server.backend),
                    server.mechanism,
                ));
                let place = server.backend.target.to_string();
                let place: Arc<str> = place.into();
                let connection = Box::new(Connection::new(server, generation.clone()));
                let version = &generation.credential.version;
                self.state().note_success(place.clone(), version);
                drop(arriving); // it has arrived
                let connection = Proven::new(connection, quiet);
                if wishes.replication.is_some() {
                    return Ok(connection); // nobody else will use it
                }
                let limit = self.database.upstream.connect_timeout;
                match timeout(limit, self.learn_defaults(connection, &place)).await {
                    Ok(Ok(connection)) => Ok(connection),
                    failed => {
                        let reason = match failed {
                            Ok(Err(e)) => e.to_string(),
                            _ => "no answer to the first query".to_owned(),
                        };
                        let address = place.to_string();
                        Err(ConnectError::Unreachable { address, reason })
                    }
                }
            }
            Err(error) => {
                self.metrics.login_failed(error.sqlstate());
                let cause = Cause {
                    reason: &error.to_string(),
                    sqlstate: error.sqlstate(),
                };
                self.audit.record(Record::server_fail(
                    self.database.name.clone(),
                    self.credential_ref(&generation.credential),
                    place_ref(&generation.target),
                    cause,
                ));
                Err(error)
            }
        }
    }

    /// A login on demand, in a slot that was taken for it. Whether it worked.
    pub(super) async fn open_and_put(self: Arc<Self>, generation: Arc<Generation>) -> bool {
        let result = self.login(&generation).await;
        let mut state = self.state();
        state.opening -= 1;
        match result {
            Ok(connection) => {
                self.put(&mut state, connection);
                self.open_for_waiters(&mut state);
                true
            }
            Err(error) => {
                self.login_failed(&mut state, &generation, &error);
                self.release_slot(&mut state);
                false
            }
        }
    }

    /// What a failed login of the generation in force means for the pool.
    pub(super) fn login_failed(
        &self,
        state: &mut State,
        generation: &Arc<Generation>,
        error: &ConnectError,
    ) {
        // A straggler of a generation that is no longer in force says nothing
        // about the one that is.
        if state
            .current
            .as_ref()
            .is_some_and(|c| !Arc::ptr_eq(c, generation))
        {
            return;
        }
        let message: Arc<str> = error.to_string().into();
        let was_good = matches!(state.health, Health::Good);
        state.note_refusal(error);
        if error.is_authentication() {
            if !matches!(state.health, Health::Seeking { .. }) {
                warn!(
                    database = %self.database.name, secret = %self.secret,
                    version = %generation.credential.version,
                    "the version in force no longer logs in: {error}; looking for one that does"
                );
                state.health = Health::Seeking {
                    since: Instant::now(),
                    message,
                };
            }
        } else {
            let cause = match error {
                ConnectError::Refused { sqlstate, .. } => {
                    CheckoutError::Refused(sqlstate.as_str().into())
                }
                _ => CheckoutError::Down,
            };
            let waits_until = match &state.health {
                Health::Down { waits_until, .. } => *waits_until,
                _ => {
                    warn!(database = %self.database.name, "{error}; trying again");
                    Instant::now() + START_UP
                }
            };
            // A server that is starting up will soon be there.
            let waits_until = if error.is_starting() {
                waits_until
            } else {
                Instant::now()
            };
            // With other connections at work the waiters will be served.
            if state.leased == 0 && waits_until <= Instant::now() {
                state.fail_waiters(&cause);
            }
            state.health = Health::Down {
                message,
                cause,
                waits_until,
            };
        }
        // Only a change wakes the manager: its own attempts end here too, and
        // must not cut its backoff short.
        if was_good {
            self.wake.notify_one();
        }
    }

    /// Takes a connection out of service; its slot is free once Postgres has
    /// let go of it.
    pub(super) fn retire(
        self: &Arc<Self>,
        state: &mut State,
        connection: impl Into<Box<Connection>>,
    ) {
        let connection = connection.into();
        state.closing += 1;
        let pool = self.clone();
        tokio::spawn(async move {
            pool.close(connection, "retired").await;
            pool.free_closed_slot();
        });
    }

    fn free_closed_slot(self: &Arc<Self>) {
        let mut state = self.state();
        state.closing -= 1;
        self.release_slot(&mut state);
    }

    /// A slot is free: it goes to the prober, else to the next waiter.
    pub(super) fn release_slot(self: &Arc<Self>, state: &mut State) {
        // Where a login that was given up keeps one, there may be one too many.
        let spare = state.abandoned == 0 || state.open <= self.database.pool_size;
        if spare
            && let Some(prober) = state.slot_wanted.take()
            && prober.send(()).is_ok()
        {
            return;
        }
        state.open -= 1;
        self.open_for_waiters(state);
    }

    /// A lease of a connection that is not handed on has ended.
    pub(super) fn retire_leased(self: &Arc<Self>, connection: Box<Connection>) {
        let mut state = self.state();
        state.leased -= 1;
        self.retire(&mut state, connection);
    }

    /// A connection whose client left in the middle of something: whatever
    /// runs there is cancelled, so that it neither goes on nor holds its slot.
    pub(super) fn discard(self: &Arc<Self>, connection: Box<Connection>) {
        {
            let mut state = self.state();
            state.leased -= 1;
            state.closing += 1;
        }
        let pool = self.clone();
        tokio::spawn(async move {
            let backend = connection.backend().clone();
            if let Err(e) = upstream::cancel(&backend).await {
                debug!(pid = %backend.pid, "cancel of an abandoned query: {e}");
            }
            pool.close(connection, "discarded").await;
            pool.free_closed_slot();
        });
    }

    /// Cleans a connection that counts as leased, and hands it on.
    pub(super) fn clean_and_return(
        pool: Arc<Self>,
        mut connection: Box<Connection>,
        in_transaction: bool,
    ) {
        tokio::spawn(async move {
            connection.backend().cancels_landed().await;
            let limit = pool.database.upstream.connect_timeout;
            let cleaned = timeout(limit, connection.clean(in_transaction)).await;
            pool.return_after(connection, cleaned);
        });
    }

    /// Resets the time limits that the last client has set, and hands the
    /// connection on.
    pub(super) fn lift_limits_and_return(pool: Arc<Self>, mut connection: Box<Connection>) {
        tokio::spawn(async move {
            connection.backend().cancels_landed().await;
            let limit = pool.database.upstream.connect_timeout;
            let lifted = timeout(limit, connection.lift_limits(&pool.profiles)).await;
            pool.return_after(connection, lifted);
        });
    }

    /// Where nobody has set anything, what is reported is the server's own.
    pub(super) fn facts_of(&self, connection: &Connection) {
        if connection.profile.settings().is_empty() {
            let reported = connection.reported();
            self.facts.reports(&connection.profile, reported);
        }
    }

    fn return_after(
        self: &Arc<Self>,
        connection: Box<Connection>,
        outcome: Result<Result<Quiet, QueryError>, tokio::time::error::Elapsed>,
    ) {
        match outcome {
            Ok(Ok(quiet)) => {
                self.facts_of(&connection);
                return self.give_back(Proven::new(connection, quiet));
            }
            Ok(Err(e)) => {
                debug!(pid = %connection.backend().pid, "not reusable: {e}");
            }
            Err(_) => {}
        }
        self.discard(connection);
    }

    /// Says goodbye and waits until the server is gone.
    pub(super) async fn close(&self, connection: impl Into<Box<Connection>>, why: &'static str) {
        let connection: Box<Connection> = connection.into();
        let (server, generation) = connection.into_parts();
        let whose = server_ref(&server.backend);
        server.close().await;
        self.audit.record(Record::server_close(
            self.database.name.clone(),
            self.credential_ref(&generation.credential),
            whose,
            why,
        ));
        if generation.established.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.drained(&generation);
        }
    }
}

/// A login under way: its generation has not drained before it has ended.
pub(super) struct Arriving {
    pool: Arc<Pool>,
    generation: Arc<Generation>,
}

impl Arriving {
    pub fn new(pool: &Arc<Pool>, generation: &Arc<Generation>) -> Self {
        generation.arriving.fetch_add(1, Ordering::AcqRel);
        Self {
            pool: pool.clone(),
            generation: generation.clone(),
        }
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let last = self.generation.arriving.fetch_sub(1, Ordering::AcqRel) == 1;
        if last && self.generation.established() == 0 {
            self.pool.drained(&self.generation);
        }
    }
}

fn server_ref(backend: &Backend) -> ServerRef {
    ServerRef {
        host: backend.target.host.clone(),
        port: backend.target.port,
        pid: Some(backend.pid.0),
    }
}

/// Of a login that ended before there was a backend: the first place.
fn place_ref(target: &Target) -> ServerRef {
    ServerRef {
        host: target.host.clone(),
        port: target.port,
        pid: None,
    }
}
