//! Logins that were given up, while the server may not know of it yet.
//!
//! Postgres goes on with a login that takes too long for us: the login is in its tables, and
//! counts, until Postgres has read that nobody is there any more. So whatever is left of such a
//! login keeps a slot until the server has hung up as well. A host that has vanished in the middle
//! of a login never hangs up: pgvalet waits for it during another `connect_timeout`.

use std::sync::Arc;

use tokio::spawn;

use super::Pool;
use super::generation::Generation;
use super::login::Arriving;
use super::slots::Use;
use crate::upstream::Abandoned;

impl Pool {
    /// Takes a slot for each abandoned login until it is gone. The slot of the
    /// login itself stays with its caller.
    pub(super) fn keep_slots(
        self: &Arc<Self>,
        generation: &Arc<Generation>,
        abandoned: Vec<Abandoned>,
    ) {
        if abandoned.is_empty() {
            return;
        }
        let mut state = self.state();
        for connection in abandoned {
            let pool = self.clone();
            let slot = state.slots.take(Use::Abandoned);
            let limit = self.database().upstream.connect_timeout;
            // Its generation has not drained before, either.
            let arriving = Arriving::new(self, generation);
            spawn(async move {
                connection.gone(limit).await;
                pool.release_slot(&mut pool.state(), slot);
                drop(arriving); // which may take the lock
            });
        }
    }
}
