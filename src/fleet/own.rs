//! Whether the address that this replica hands out leads to it, and to no other one: two replicas
//! with one address, or one number, would get each other's cancel requests.

use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::debug;

use super::Fleet;
use super::request::{Instance, Request};
use crate::base::jitter::jittered;

/// How often it is asked.
const EVERY: Duration = Duration::from_secs(5);

/// What a replica knows of its own address.
pub(super) struct Own {
    /// Tells this process from all others.
    pub instance: Instance,
    /// Since when another replica has answered there.
    elsewhere: Mutex<Option<SystemTime>>,
}

impl Own {
    pub fn new() -> Self {
        Self {
            instance: uuid::Uuid::new_v4().into_bytes(),
            elsewhere: Mutex::default(),
        }
    }
}

impl Fleet {
    /// Since when its address leads to another replica; `None`: it does not, as far as is known.
    pub fn elsewhere(&self) -> Option<SystemTime> {
        *self.own.elsewhere.lock()
    }

    /// Asks at the own address who is there. Where nobody answers, nothing is known: a network
    /// may let nobody reach itself.
    async fn look_at_own_address(&self) {
        let request = Request::Who(self.own.instance);
        match self.exchange(self.here(), &request).await {
            Ok(true) => *self.own.elsewhere.lock() = None,
            Ok(false) => {
                let mut elsewhere = self.own.elsewhere.lock();
                *elsewhere = elsewhere.or_else(|| Some(SystemTime::now()));
            }
            Err(e) => debug!("this replica cannot reach itself at {}: {e}", self.here()),
        }
    }
}

/// Asks again and again, until `closing` becomes true or the replica is gone.
pub(super) async fn watch(fleet: Weak<Fleet>, mut closing: watch::Receiver<bool>) {
    let look = async {
        while let Some(fleet) = fleet.upgrade() {
            fleet.look_at_own_address().await;
            drop::<Arc<Fleet>>(fleet);
            sleep(jittered(EVERY)).await;
        }
    };
    tokio::select! {
        _ = closing.wait_for(|closing| *closing) => {}
        () = look => {}
    }
}
