//! Moving a session of session mode to a connection of the generation in force, between
//! transactions. A session moves if all that it holds can be made on the new connection; the server
//! is asked what it holds. What the server does not tell (currval, setseed, what LOAD brought in)
//! is left behind, as docs/ROTATION.md says.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::End;
use super::left::{self, Left};
use super::relisten::relisten;
use crate::pool::{CheckoutError, Delivery, Lease, Profile, Room};
use crate::session::greet::checkout_error;
use crate::session::registry::{Phase, Pin, Signal};
use crate::session::relay::Relay;
use crate::session::serve::Session;
use crate::upstream::QueryError;
use crate::wire::ClientError;
use crate::wire::sql::is_one_prepare;

impl Session {
    /// Moves the session if there is reason to, and if it can move.
    ///
    /// # Errors
    /// How the session ends.
    pub(super) async fn migrate(&self, relay: &mut Relay) -> Result<(), End> {
        self.handle.forget(Signal::Move);
        let limit = self.pool().database().upstream.connect_timeout;
        // No cancel of the client may hit what is asked now, as in `settle`.
        let held = self.handle.held();
        self.handle.hold(None);
        let Some(left) = self.look_at(relay, limit).await? else {
            return Ok(());
        };
        // A PREPARE can be repeated if its text does nothing else; other state cannot.
        let repeatable = left
            .prepares
            .iter()
            .all(|text| is_one_prepare(text.as_bytes()));
        let stays = |pin: &&Pin| **pin != Pin::Prepare || !repeatable;
        let why = left.pins.iter().find(stays).copied();
        let old = relay.holding.lease().is_some_and(|l| !l.is_current());
        let why = match why {
            None if old || self.pool().wants_slot() => self.change(relay, &left, limit).await?,
            why => why,
        };
        self.handle.set_stays(why.filter(|_| old));
        if let Some((lease, _)) = relay.lease_and_watch() {
            lease.speaks();
        }
        relay.bring_up_to_date();
        relay.look_again();
        if relay.holding.has_lease() && self.handle.held().is_none() {
            self.handle.hold(held);
        }
        Ok(())
    }

    /// Asks the server what the session holds. `None`: the session has no connection.
    async fn look_at(&self, relay: &mut Relay, limit: Duration) -> Result<Option<Left>, End> {
        let before = relay.note_told();
        let Some((lease, watch)) = relay.lease_and_watch() else {
            return Ok(None);
        };
        let ask = async {
            lease.backend().cancels_landed().await;
            let mut left = left::ask(lease, watch).await?;
            if left::has_setters(lease).await? {
                left.pins.push(Pin::SetConfig);
            }
            Ok::<_, QueryError>(left)
        };
        let Ok(Ok(left)) = timeout(limit, ask).await else {
            return Err(Err(ClientError::UpstreamLost));
        };
        lease.profile = self.pool().profiles.intern(left.settings.clone());
        relay.tell_changes(&before);
        let expected = left::expected(relay.expected.initial().settings(), &left.all_settings());
        relay.expect(expected);
        relay.settled();
        relay.pass_heard(|_| true);
        Ok(Some(left))
    }

    /// Replaces the server connection; returns what stands against that, if it does not.
    async fn change(
        &self,
        relay: &mut Relay,
        left: &Left,
        limit: Duration,
    ) -> Result<Option<Pin>, End> {
        // The prober gets a slot only if a connection is given up.
        let room = match self.pool().wants_slot() {
            true => Room::Full,
            false => self.pool().room_for_another(&self.handle.client),
        };
        let mut new = match room {
            Room::NotNow => return Ok(None),
            // The old connection would have to be given up first. Statements could then be
            // lost, if they cannot be made again, and notifications would be missed.
            Room::Full if !left.pins.is_empty() => return Ok(Some(Pin::Prepare)),
            Room::Full if !left.channels.is_empty() => return Ok(Some(Pin::Listen)),
            Room::Full => {
                self.give_up(relay).await?;
                return Ok(None);
            }
            Room::Free(lease) => lease,
            Room::Coming(coming) => match self.wait(relay, coming).await? {
                Ok(lease) => lease,
                Err(_) => return Ok(None), // the connection it has still works
            },
        };
        if self.record_use(relay, &new).await.is_err() {
            return Ok(None); // it goes on where its use is recorded
        }
        let profile = relay.expected.profile().clone();
        let rebuilt = rebuild(&profile, &mut new, &left.prepares);
        let rebuilt = timeout(limit, rebuilt).await;
        new.speaks(); // it was asked, whatever came of it
        if !matches!(rebuilt, Ok(Ok(()))) {
            return Ok(Some(Pin::Prepare));
        }
        if let Some(old) = relay.holding.lease_mut()
            && !left.channels.is_empty()
        {
            match timeout(limit, relisten(old, &mut new, &left.channels)).await {
                Ok(Ok(heard)) => relay.tell(&heard),
                Ok(Err(_)) => {
                    relay.pass_heard(|_| true);
                    return Ok(Some(Pin::Listen));
                }
                Err(_) => return Err(Err(ClientError::UpstreamLost)),
            }
        }
        let mut old = relay.end();
        if let Some(old) = &mut old {
            old.speaks(); // nobody else gets it as it is
            new.hold(old.take_permit());
        }
        relay.begin(new);
        self.count_migration();
        Ok(None)
    }

    /// Replaces the connection in a full pool: the old one is given up first, so that its
    /// slot becomes free, and the pool's next connection is this session's.
    async fn give_up(&self, relay: &mut Relay) -> Result<(), End> {
        let coming = self.pool().queue_first(&self.handle.client);
        let Some(mut old) = relay.end() else {
            return Ok(());
        };
        let permit = old.take_permit();
        let generation = old.generation.number;
        old.check_in_after_cleaning(false);
        let lease = self.wait(relay, coming).await?;
        let mut lease = lease.map_err(|e| Err(checkout_error(self.pool(), e)))?;
        lease.hold(permit);
        self.record_use(relay, &lease).await.map_err(Err)?;
        if lease.generation.number != generation {
            self.count_migration();
        }
        relay.begin(lease);
        Ok(())
    }

    /// Waits for a connection that was asked for.
    async fn wait(
        &self,
        relay: &mut Relay,
        mut coming: oneshot::Receiver<Delivery>,
    ) -> Result<Delivery, End> {
        self.handle.activity.set(Phase::Elsewhere, 0, 0);
        let limit = tokio::time::sleep(self.pool().database().pool_wait_timeout);
        tokio::pin!(limit);
        loop {
            tokio::select! {
                delivery = &mut coming => {
                    return Ok(delivery.unwrap_or(Err(CheckoutError::Shut)));
                }
                () = relay.client_leaves() => return Err(Ok(())),
                () = &mut limit => return Ok(Err(CheckoutError::Timeout)),
                signal = self.handle.signal_arrives() => match signal {
                    // No query of the client is under way.
                    Signal::Cancel => self.handle.forget(Signal::Cancel),
                    signal => return Err(Err(signal.farewell())),
                },
            }
        }
    }

    fn count_migration(&self) {
        let database = &self.pool().name;
        self.context.metrics.migration(database);
    }
}

/// Makes on `new` what the session holds; settings come first, because the meaning of a
/// statement may depend on them.
async fn rebuild(
    profile: &Arc<Profile>,
    new: &mut Lease,
    prepares: &[String],
) -> Result<(), QueryError> {
    let settings = profile.change_from(&new.profile);
    let queries: Vec<&str> = settings
        .iter()
        .chain(prepares)
        .map(String::as_str)
        .collect();
    if queries.is_empty() {
        return Ok(());
    }
    new.ask(&queries).await?;
    new.profile = profile.clone();
    Ok(())
}
