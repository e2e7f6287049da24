//! The end of a lease after which something may have stayed on the server connection: the server is
//! asked what has stayed, and the connection goes back to the pool if all of that can move.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::left;
use crate::pool::Lease;
use crate::session::registry::Pin;
use crate::session::relay::Relay;
use crate::session::serve::Session;
use crate::upstream::Quiet;
use crate::wire::tag::status;

/// How often a pinned client's connection is asked whether it is free again.
const ASK_PINNED: Duration = Duration::from_secs(1);

/// The server connection was lost, or did not answer in time.
struct Lost;

impl Session {
    /// Asks the server what the client left there; gives the connection back if everything
    /// can move. `asked`: when that was done last. `false`: the connection is lost.
    pub(super) async fn settle(&self, relay: &mut Relay, asked: &mut Instant) -> bool {
        if relay.holding.pinned().is_some()
            && !relay.holding.must_ask()
            && asked.elapsed() < ASK_PINNED
        {
            relay.stay();
            return true;
        }
        // The client's query is over: a cancel that comes now must not hit
        // what pgvalet asks, and one under way has to land first.
        let held = self.handle.held();
        self.handle.hold(None);
        let settled = self.ask_and_move(relay, asked).await.is_ok();
        if settled && relay.holding.has_lease() {
            self.handle.hold(held);
        }
        settled
    }

    async fn ask_and_move(&self, relay: &mut Relay, asked: &mut Instant) -> Result<(), Lost> {
        let pool = self.pool();
        let limit = pool.database().upstream.connect_timeout;
        let before = relay.note_told();
        let Some((lease, watch)) = relay.lease_and_watch() else {
            return Ok(());
        };
        let ask = async {
            lease.backend().cancels_landed().await;
            left::ask(lease, watch).await
        };
        let Ok(Ok(left)) = timeout(limit, ask).await else {
            return Err(Lost);
        };
        *asked = Instant::now();
        // Statements were prepared or closed that pgvalet does not know of.
        if left.copies != lease.prepared.len() {
            lease.prepared.clear();
            lease.untidy = true;
        }
        lease.profile = pool.profiles.intern(left.settings.clone());
        relay.tell_changes(&before);
        relay.expect(left::expected(
            relay.expected.initial().settings(),
            &left.all_settings(),
        ));
        relay.settled();
        relay.note_facts();
        let pin = left.pin();
        if left.pins.contains(&Pin::Connection) {
            relay.ends_with_lease();
        }
        let moved = relay.move_listens(left.channels, pin.is_some());
        let pin = match timeout(limit, moved).await {
            Ok(Ok(stays)) => pin.or(stays.then_some(Pin::Listen)),
            _ => return Err(Lost),
        };
        relay.holding.set_pin(pin);
        self.handle.set_pin(pin);
        if pin.is_none()
            && let Some(lease) = relay.end()
        {
            give_back(lease);
        } else {
            keep(relay);
        }
        Ok(())
    }
}

/// Gives a connection back that has answered the last question, so that it owes nothing.
fn give_back(lease: Lease) {
    if let Some(quiet) = Quiet::by_accounts(false, lease.is_quiet(), status::IDLE) {
        lease.check_in(quiet);
    }
}

fn keep(relay: &mut Relay) {
    // What the connection holds is the client's: nobody else gets it as it is.
    if let Some((lease, _)) = relay.lease_and_watch() {
        lease.speaks();
    }
    relay.stay();
    relay.bring_up_to_date();
}
