//! Connections that one client has to itself, because they logged in with
//! start-up parameters of its own (replication). They count in the pool's
//! ceiling, wait in its queue, and are closed, never handed on.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::generation::Generation;
use super::{CheckoutError, Lease, Pool};
use crate::upstream::{ConnectError, Wishes};

/// Why a client got no connection of its own.
#[derive(Debug, thiserror::Error)]
pub enum DedicatedError {
    #[error("{0}")]
    Checkout(#[from] CheckoutError),
    /// The credential is good, so the cause is what the client asked for.
    #[error("{0}")]
    Login(ConnectError),
}

/// A credential may be replaced between a checkout and the login; and once more.
const ATTEMPTS: usize = 3;

impl Pool {
    /// Logs in with the version in force, and with what this client wishes for.
    ///
    /// # Errors
    /// [`DedicatedError`]; after `pool_wait_timeout` and `connect_timeout` at
    /// the latest.
    pub async fn dedicated(self: &Arc<Self>, wishes: Wishes) -> Result<Lease, DedicatedError> {
        let pool = self.clone();
        let (sender, receiver) = oneshot::channel();
        // A task of its own: a slot must not be lost with a client that leaves.
        tokio::spawn(async move {
            // Dropping a lease that nobody waits for closes its connection.
            let _ = sender.send(pool.open_dedicated(&wishes).await);
        });
        receiver.await.unwrap_or(Err(CheckoutError::Shut.into()))
    }

    async fn open_dedicated(self: &Arc<Self>, wishes: &Wishes) -> Result<Lease, DedicatedError> {
        let mut attempt = 1;
        loop {
            let generation = self.empty_slot().await?;
            let error = match self.login_with(&generation, wishes).await {
                Ok(connection) => {
                    let mut state = self.state();
                    state.opening -= 1;
                    state.leased += 1;
                    return Ok(Lease::dedicated(self.clone(), connection));
                }
                Err(error) => error,
            };
            // pg_hba.conf has lines for replication alone: whether the
            // credential is to blame, only an ordinary login can tell.
            let ordinary = if error.is_authentication() {
                Some(self.login(&generation).await)
            } else {
                None
            };
            let mut state = self.state();
            state.opening -= 1;
            match ordinary {
                Some(Err(other)) if attempt < ATTEMPTS => {
                    self.login_failed(&mut state, &generation, &other);
                    self.release_slot(&mut state);
                    attempt += 1;
                }
                Some(Ok(connection)) => {
                    self.put(&mut state, connection);
                    return Err(DedicatedError::Login(error));
                }
                _ => {
                    self.release_slot(&mut state);
                    return Err(DedicatedError::Login(error));
                }
            }
        }
    }

    /// A slot in which to log in, come by like any other lease; counted among
    /// those that are being opened.
    async fn empty_slot(self: &Arc<Self>) -> Result<Arc<Generation>, CheckoutError> {
        let lease = self.checkout().await?;
        let leased_of = lease.generation.clone();
        let Some(connection) = lease.into_connection() else {
            return Err(CheckoutError::Shut);
        };
        {
            let mut state = self.state();
            state.leased -= 1;
            state.closing += 1;
        }
        self.close(connection, "replaced").await;
        let mut state = self.state();
        state.closing -= 1;
        state.opening += 1;
        Ok(state.current.clone().unwrap_or(leased_of))
    }
}
