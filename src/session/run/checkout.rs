//! Waiting for a server connection.

use crate::session::greet::checkout_error;
use crate::session::registry::{Phase, Signal};
use crate::session::relay::Relay;
use crate::session::serve::Session;
use crate::wire::ClientError;

impl Session {
    /// Waits for a server connection. `Ok(false)`: the client is gone; `Ok(true)`: there is
    /// a connection, or what needed one has been cancelled.
    ///
    /// # Errors
    /// What the client is told at the end of its session.
    pub(super) async fn checkout(&self, relay: &mut Relay) -> Result<bool, ClientError> {
        self.handle.forget(Signal::Cancel);
        self.handle.activity.set(Phase::Elsewhere, 0, 0);
        let pool = self.pool();
        tokio::select! {
            lease = pool.checkout_within(&self.quota, &self.handle.client) => {
                relay.begin(lease.map_err(|e| checkout_error(pool, e))?);
                Ok(true)
            }
            () = relay.client_leaves() => Ok(false),
            signal = self.handle.signal_arrives() => match signal {
                Signal::Cancel => {
                    self.handle.forget(Signal::Cancel);
                    relay.refuse(&ClientError::Cancelled);
                    Ok(true)
                }
                signal => Err(signal.farewell()),
            },
        }
    }
}
