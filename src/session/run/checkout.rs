//! Waiting for a server connection.

use std::pin::pin;

use crate::session::greet::checkout_error;
use crate::session::registry::{Phase, Signal};
use crate::session::relay::Relay;
use crate::session::serve::Session;
use crate::session::waits;
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
        if let Some(lease) = relay.holding.take_unrecorded() {
            self.record_use(relay, &lease).await?;
            relay.begin(lease);
            return Ok(true);
        }
        let mut lease = pin!(pool.checkout_within(&self.quota, &self.handle.client));
        let patience = self.context.wait_notice();
        let mut notice = pin!(waits::notice(pool, patience));
        let mut noticed = false;
        loop {
            tokio::select! {
                biased; // A connection that is free needs no timer.
                lease = &mut lease => {
                    let lease = lease.map_err(|e| checkout_error(pool, e))?;
                    self.record_use(relay, &lease).await?;
                    relay.begin(lease);
                    return Ok(true);
                }
                () = relay.client_leaves() => return Ok(false),
                notice = &mut notice, if !noticed => {
                    noticed = true;
                    relay.give_notice(&notice);
                }
                signal = self.handle.signal_arrives() => return match signal {
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
}
