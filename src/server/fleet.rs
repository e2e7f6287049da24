//! `[fleet]`: this replica among the others.

use std::sync::Arc;

use tokio::sync::watch;

use super::ServerError;
use super::build::Built;
use crate::config::Config;
use crate::fleet::{Door, Fleet};
use crate::metrics::Metrics;
use crate::net::PassedSockets;

/// A replica, and its bound listener for the others.
pub struct Joined {
    pub door: Door,
    pub fleet: Arc<Fleet>,
}

/// Binds `[fleet] address` and reads the key, if there is a fleet.
pub(super) async fn join(
    config: &Config,
    passed: &mut PassedSockets,
    metrics: &Arc<Metrics>,
) -> Result<Option<Joined>, ServerError> {
    let Some(options) = &config.fleet else {
        return Ok(None);
    };
    let door = Door::bind(&options.address, passed).await;
    let door = door.map_err(|source| ServerError::Fleet {
        address: options.address.clone(),
        source,
    })?;
    let fleet = Fleet::join(options, door.address(), metrics).await?;
    Ok(Some(Joined { door, fleet }))
}

impl Joined {
    /// Serves until `closing` becomes true.
    pub fn start(self, built: &Built, closing: watch::Receiver<bool>) {
        let context = built.context.clone();
        tokio::spawn(self.door.serve(self.fleet, context, closing));
    }
}
