//! Logins that were given up, and that the server may not know of yet.
//!
//! When a login takes too long, Postgres goes on with it: it is in its tables,
//! and counts, until it has read that nobody is there any more. So whatever is
//! left of such a login keeps a slot until the server has hung up as well. A
//! host that has vanished in the middle of a login never does; it is waited for
//! as long again as the login was, which is `connect_timeout`.

use std::sync::Arc;

use tokio::spawn;

use super::Pool;
use super::generation::Generation;
use super::open::Arriving;
use crate::upstream::Abandoned;

impl Pool {
    /// Each takes a slot of its own: that of the login is its caller's.
    pub(super) fn keep_slots(
        self: &Arc<Self>,
        generation: &Arc<Generation>,
        abandoned: Vec<Abandoned>,
    ) {
        if abandoned.is_empty() {
            return;
        }
        let mut state = self.state();
        state.open += abandoned.len();
        state.abandoned += abandoned.len();
        for connection in abandoned {
            let pool = self.clone();
            // Nor has its generation drained before.
            let arriving = Arriving::new(self, generation);
            spawn(async move {
                connection
                    .gone(pool.database.upstream.connect_timeout)
                    .await;
                {
                    let mut state = pool.state();
                    state.abandoned -= 1;
                    pool.release_slot(&mut state);
                }
                drop(arriving); // which may take the lock
            });
        }
    }
}
