//! A session of session mode moves to a connection of the generation in force,
//! between transactions, where everything that it holds can be had there again:
//! the server is asked what that is. What the server does not tell (currval,
//! setseed, what LOAD brought in) stays behind; docs/ROTATION.md says so.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::context::Signal;
use super::limits::Phase;
use super::relay::Relay;
use super::relisten::relisten;
use super::settle::{self, Left};
use super::{Session, asked_to_end, start};
use crate::pool::{CheckoutError, Delivery, Lease, Profile, Room};
use crate::upstream::QueryError;
use crate::wire::ClientError;
use crate::wire::sql::is_one_prepare;

/// How a session ends; without an error where its client has left.
type End = Result<(), ClientError>;

impl Session {
    /// Moves if there is reason to, and if it can.
    ///
    /// # Errors
    /// The session ends so.
    pub(super) async fn migrate(&self, relay: &mut Relay) -> Result<(), End> {
        self.handle.forget(Signal::Move);
        let limit = self.pool.database.upstream.connect_timeout;
        // As in `settle`: no cancel of the client may hit what is asked now.
        let held = self.handle.held();
        self.handle.hold(None);
        let Some(left) = self.look_at(relay, limit).await? else {
            return Ok(());
        };
        // PREPARE can be repeated, where its text does nothing else; the rest
        // cannot.
        let again = left
            .prepares
            .iter()
            .all(|text| is_one_prepare(text.as_bytes()));
        let stays = |pin: &&&str| **pin != "prepare" || !again;
        let why = left.pins.iter().find(stays).copied();
        let old = relay.lease.as_ref().is_some_and(|l| !l.is_current());
        let why = match why {
            None if old || self.pool.wants_slot() => self.change(relay, &left, limit).await?,
            why => why,
        };
        self.handle.stay(why.filter(|_| old));
        if let Some((lease, _)) = relay.lease_and_watch() {
            lease.speaks();
        }
        relay.catch_up();
        relay.look_again();
        if relay.lease.is_some() && self.handle.held().is_none() {
            self.handle.hold(held);
        }
        Ok(())
    }

    /// What the session holds. `None`: there is no connection.
    async fn look_at(&self, relay: &mut Relay, limit: Duration) -> Result<Option<Left>, End> {
        let before = relay.is_told();
        let Some((lease, watch)) = relay.lease_and_watch() else {
            return Ok(None);
        };
        let ask = async {
            lease.backend().cancels_landed().await;
            let mut left = settle::ask(lease, watch).await?;
            if settle::has_setters(lease).await? {
                left.pins.push("set_config");
            }
            Ok::<_, QueryError>(left)
        };
        let Ok(Ok(left)) = timeout(limit, ask).await else {
            return Err(Err(ClientError::UpstreamLost));
        };
        lease.profile = self.pool.profiles.intern(left.settings.clone());
        relay.tell_changes(&before);
        let expected = settle::expected(relay.initial.settings(), &left.all_settings());
        relay.expect(expected);
        relay.settled();
        relay.pass_heard(|_| true);
        Ok(Some(left))
    }

    /// Changes the connection; why not, if it does not.
    async fn change(
        &self,
        relay: &mut Relay,
        left: &Left,
        limit: Duration,
    ) -> Result<Option<&'static str>, End> {
        // A slot for the prober comes only of a connection that is given up.
        let room = match self.pool.wants_slot() {
            true => Room::Full,
            false => self.pool.room_for_another(&self.handle.client),
        };
        let mut new = match room {
            Room::NotNow => return Ok(None),
            // Were it given up first, and could the statements not be had
            // again, nothing would be left; and notifications would be missed.
            Room::Full if !left.pins.is_empty() => return Ok(Some("prepare")),
            Room::Full if !left.channels.is_empty() => return Ok(Some("listen")),
            Room::Full => {
                self.give_up(relay).await?;
                return Ok(None);
            }
            Room::Free(lease) => lease,
            Room::Coming(coming) => match self.wait(relay, coming).await? {
                Ok(lease) => lease,
                Err(_) => return Ok(None), // what it has works on
            },
        };
        let profile = relay.profile.clone();
        let rebuilt = rebuild(&profile, &mut new, &left.prepares);
        let rebuilt = timeout(limit, rebuilt).await;
        new.speaks(); // whichever way this ends
        if !matches!(rebuilt, Ok(Ok(()))) {
            return Ok(Some("prepare"));
        }
        if let Some(old) = &mut relay.lease
            && !left.channels.is_empty()
        {
            match timeout(limit, relisten(old, &mut new, &left.channels)).await {
                Ok(Ok(heard)) => relay.tell(&heard),
                Ok(Err(_)) => {
                    relay.pass_heard(|_| true);
                    return Ok(Some("listen"));
                }
                Err(_) => return Err(Err(ClientError::UpstreamLost)),
            }
        }
        let mut old = relay.end();
        if let Some(old) = &mut old {
            old.speaks(); // nobody else gets it
            new.hold(old.take_permit());
        }
        relay.begin(new);
        self.moved();
        Ok(None)
    }

    /// In a full pool the old one goes first, so that its place becomes free;
    /// the next connection of the pool is this session's.
    async fn give_up(&self, relay: &mut Relay) -> Result<(), End> {
        let coming = self.pool.queue_first(&self.handle.client);
        let Some(mut old) = relay.end() else {
            return Ok(());
        };
        let permit = old.take_permit();
        let generation = old.generation.number;
        old.check_in_after_cleaning(false);
        let lease = self.wait(relay, coming).await?;
        let mut lease = lease.map_err(|e| Err(start::checkout_error(&self.pool, e)))?;
        lease.hold(permit);
        if lease.generation.number != generation {
            self.moved();
        }
        relay.begin(lease);
        Ok(())
    }

    async fn wait(
        &self,
        relay: &mut Relay,
        mut coming: oneshot::Receiver<Delivery>,
    ) -> Result<Delivery, End> {
        self.handle.activity.set(Phase::Elsewhere, 0, 0);
        let limit = tokio::time::sleep(self.pool.database.pool_wait_timeout);
        tokio::pin!(limit);
        loop {
            tokio::select! {
                delivery = &mut coming => {
                    return Ok(delivery.unwrap_or(Err(CheckoutError::Shut)));
                }
                () = relay.client_leaves() => return Err(Ok(())),
                () = &mut limit => return Ok(Err(CheckoutError::Timeout)),
                signal = self.handle.signal_arrives() => match signal {
                    // Nothing of the client's is under way.
                    Signal::Cancel => self.handle.forget_cancel(),
                    signal => return Err(Err(asked_to_end(signal))),
                },
            }
        }
    }

    fn moved(&self) {
        self.context.metrics.migration(&self.pool.database.name);
    }
}

/// Settings first: what a statement means may depend on them.
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
