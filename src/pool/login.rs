//! Logins of a pool's connections.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::time::timeout;
use tracing::debug;

use super::connection::Proven;
use super::generation::Generation;
use super::slots::{Slot, Use};
use super::{Connection, Pool};
use crate::audit::{Cause, Record, ServerRef};
use crate::upstream::{self, Backend, ConnectError, Quiet, Server, Target, Wishes};

/// A login that failed, and its slot, which may be used again.
pub(super) struct FailedLogin {
    pub error: ConnectError,
    pub slot: Slot,
}

impl Pool {
    /// Logs in once with this slot, and records how that ends.
    pub(super) async fn login(
        self: &Arc<Self>,
        generation: &Arc<Generation>,
        slot: Slot,
    ) -> Result<Proven, FailedLogin> {
        if Self::is_unproven(&self.state()) {
            return self.login_for_ledger(generation, slot).await;
        }
        self.login_with(generation, &Wishes::default(), slot).await
    }

    /// [`login`](Self::login) for a client that asks for more than a session.
    pub(super) async fn login_with(
        self: &Arc<Self>,
        generation: &Arc<Generation>,
        wishes: &Wishes,
        slot: Slot,
    ) -> Result<Proven, FailedLogin> {
        let began = Instant::now();
        let limit = self.database().upstream.connect_timeout;
        let arriving = Arriving::new(self, generation);
        let mut abandoned = Vec::new();
        let result = upstream::connect_with(
            &generation.target,
            &generation.credential,
            &generation.logins,
            limit,
            wishes,
            &mut abandoned,
        )
        .await;
        self.keep_slots(generation, abandoned);
        match result {
            Ok((server, quiet)) => {
                self.metrics.login.record(began.elapsed().as_secs_f64());
                self.record_open(generation, &server);
                let connection = Box::new(Connection::new(server, generation.clone(), slot));
                drop(arriving); // it has arrived
                let special = wishes.replication.is_some(); // nobody else will use it
                self.welcome(connection, quiet, special).await
            }
            Err(error) => {
                self.metrics.login_failed(error.sqlstate());
                self.record_failure(generation, &error);
                Err(FailedLogin { error, slot })
            }
        }
    }

    /// Learns what is to be known of a new connection before it is used.
    async fn welcome(
        &self,
        mut connection: Box<Connection>,
        quiet: Quiet,
        special: bool,
    ) -> Result<Proven, FailedLogin> {
        let address = connection.backend().target.to_string();
        let place: Arc<str> = address.as_str().into();
        let version = &connection.generation.credential.version;
        self.state().places.note_success(place.clone(), version);
        if special {
            return Ok(Proven::new(connection, quiet));
        }
        let limit = self.database().upstream.connect_timeout;
        let learnt = timeout(limit, self.learn_defaults(&mut connection, &place)).await;
        let reason = match learnt {
            Ok(Ok(quiet)) => return Ok(Proven::new(connection, quiet)),
            Ok(Err(e)) => e.to_string(),
            Err(_) => "no answer to the first query".to_owned(),
        };
        let mut slot = self.close(connection, "unusable").await;
        self.state().slots.turn(&mut slot, Use::Opening);
        let error = ConnectError::Unreachable { address, reason };
        Err(FailedLogin { error, slot })
    }

    fn record_open(&self, generation: &Generation, server: &Server) {
        debug!(
            database = %self.name, pid = %server.backend.pid, server = %server.backend.target,
            version = %generation.credential.version, user = generation.credential.username,
            "server connection opened"
        );
        self.audit.record(Record::server_open(
            self.name.clone(),
            self.credential_ref(&generation.credential),
            server_ref(&server.backend),
            server.mechanism,
        ));
    }

    fn record_failure(&self, generation: &Generation, error: &ConnectError) {
        let version = &generation.credential.version;
        debug!(database = %self.name, secret = %self.secret, %version, "login failed: {error}");
        let cause = Cause {
            reason: &error.to_string(),
            sqlstate: error.sqlstate(),
        };
        self.audit.record(Record::server_fail(
            self.name.clone(),
            self.credential_ref(&generation.credential),
            first_place(&generation.target),
            cause,
        ));
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

pub(super) fn server_ref(backend: &Backend) -> ServerRef {
    ServerRef {
        host: backend.target.host.clone(),
        port: backend.target.port,
        pid: Some(backend.pid.0),
    }
}

/// The place to which a login was to go first that never reached a backend.
fn first_place(target: &Target) -> ServerRef {
    ServerRef {
        host: target.host.clone(),
        port: target.port,
        pid: None,
    }
}
