//! What a client listens on, in the modes in which it has no connection of its own: it moves
//! to the pool's listening connection.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::{Halt, Relay};
use crate::pool::{End, Lease, Subscription};
use crate::session::relay::from_client::Restored;
use crate::upstream::QueryError;
use crate::wire::{ClientError, message};

/// The number of channels that the listening connection takes over from one client; with more, the
/// client keeps its server connection.
pub(in crate::session) const MAX_CHANNELS: usize = 1000;

/// Bytes of notifications that are moved to the client in one go.
const ROOM: usize = 64 * 1024;

/// A client's subscription to the listening connection, and the channels that are on their
/// way there.
#[derive(Default)]
pub(in crate::session) struct Listening {
    subscription: Option<Subscription>,
    moving: Moving,
}

/// Channels that move to the listening connection.
#[derive(Default)]
enum Moving {
    #[default]
    Nothing,
    /// The listening connection was asked to listen on these channels.
    Asked(BTreeSet<Box<str>>, oneshot::Receiver<bool>),
    /// The listening connection listens on these channels.
    Ready(BTreeSet<Box<str>>),
    /// The server refused to have these channels listened on.
    Refused(BTreeSet<Box<str>>),
}

impl Listening {
    /// Whether the client listens, or is about to.
    pub(super) fn is_in_use(&self) -> bool {
        self.subscription.is_some() || !matches!(self.moving, Moving::Nothing)
    }
}

impl Relay {
    /// Takes what the listening connection has for this client. `true`: something was moved.
    ///
    /// # Errors
    /// The session ends, or the server has to be asked again.
    pub(super) fn poll_listening(&mut self, cx: &mut Context<'_>) -> Result<bool, Halt> {
        let Some(subscription) = &self.listening.subscription else {
            return Ok(false);
        };
        subscription.register(cx.waker());
        if subscription.has_news() {
            if let Some(end) = subscription.ended() {
                return Err(Halt::Violation(match end {
                    End::Lost => ClientError::ListenerLost,
                    End::TooSlow => ClientError::ListenerTooSlow,
                }));
            }
            // Between transactions, as on a connection of its own.
            let between = !self.holding.has_lease() || (self.at_rest() && !self.holding.must_ask());
            if between && self.client.is_written() {
                let out = self.client.buffer();
                let before = out.len();
                subscription.take(out, ROOM);
                let moved = out.len() - before;
                self.client.count_sent(moved);
                return Ok(moved > 0);
            }
        }
        if let Moving::Asked(channels, answer) = &mut self.listening.moving
            && let Poll::Ready(answer) = Pin::new(answer).poll(cx)
        {
            let channels = std::mem::take(channels);
            self.listening.moving = match answer {
                Ok(true) => Moving::Ready(channels),
                Ok(false) => Moving::Refused(channels),
                Err(_) => Moving::Nothing,
            };
            self.holding.ask_if(true);
            if self.holding.has_lease() && self.at_rest() {
                return Err(Halt::Settle);
            }
        }
        Ok(false)
    }

    /// Handles DISCARD ALL: the client listens on nothing any more.
    pub(super) fn stop_listening(&mut self) {
        self.listening = Listening::default();
        self.conversation.from_client.listens = Default::default();
    }

    /// Moves the channels that the server connection listens on. `true`: the client has to keep
    /// the connection for them; otherwise the lease may be gone.
    ///
    /// # Errors
    /// [`QueryError`]: the connection is lost.
    pub(in crate::session) async fn move_listens(
        &mut self,
        here: BTreeSet<Box<str>>,
        pinned: bool,
    ) -> Result<bool, QueryError> {
        self.pass_heard(|_| true);
        self.leave_all_but(&here);
        let shared = &self.conversation.from_client.listens.shared;
        let fresh: BTreeSet<_> = here.difference(shared).cloned().collect();
        if fresh.is_empty() {
            if !here.is_empty() {
                self.unlisten(None).await?;
            }
            self.end_moving();
            return Ok(false);
        }
        let Some(lease) = self.holding.lease() else {
            return Ok(false);
        };
        if here.len() > MAX_CHANNELS
            || !can_be_shared(lease)
            || self.handle.pool.database().pool_size < 2
        {
            return Ok(true); // the listening connection would take the only one of such a pool
        }
        let subscription = self
            .listening
            .subscription
            .get_or_insert_with(|| self.handle.pool.listener.subscribe());
        match &self.listening.moving {
            Moving::Ready(channels) if channels.is_superset(&fresh) => {
                let (mark, sql) = subscription.mark(&fresh);
                self.unlisten(Some((mark, sql))).await?;
                self.conversation.from_client.listens.shared.extend(fresh);
                self.end_moving();
                return Ok(false);
            }
            Moving::Asked(channels, _) | Moving::Refused(channels)
                if channels.is_superset(&fresh) =>
            {
                return Ok(true);
            }
            _ => {}
        }
        if !pinned && subscription.claim() {
            self.conversation
                .from_client
                .listens
                .shared
                .extend(fresh.iter().cloned());
            if let Some(lease) = self.end()
                && let Some(subscription) = &self.listening.subscription
            {
                subscription.donate(lease, &fresh);
            }
            self.listening.moving = Moving::Nothing;
            return Ok(false);
        }
        let answer = subscription.prepare(&fresh);
        self.listening.moving = Moving::Asked(fresh, answer);
        Ok(true)
    }

    /// Notes that the listening connection listens on all of the client's channels.
    fn end_moving(&mut self) {
        self.listening.moving = Moving::Nothing;
        self.conversation.from_client.listens.restored = Restored::No;
        if self.conversation.from_client.listens.shared.is_empty() {
            self.listening.subscription = None;
        }
    }

    /// Gives up the channels that the client no longer listens on, once its connection has
    /// listened on all of them.
    fn leave_all_but(&mut self, here: &BTreeSet<Box<str>>) {
        let listens = &mut self.conversation.from_client.listens;
        if listens.restored == Restored::No {
            return;
        }
        let gone: Vec<_> = listens.shared.difference(here).cloned().collect();
        if let Some(subscription) = &self.listening.subscription
            && !gone.is_empty()
        {
            subscription.leave(&gone);
            listens.shared.retain(|channel| here.contains(channel));
        }
    }

    /// Stops listening on the connection; what it received before the mark is still the
    /// client's.
    async fn unlisten(&mut self, mark: Option<(u64, String)>) -> Result<(), QueryError> {
        let Some(lease) = self.holding.lease_mut() else {
            return Ok(());
        };
        let mark_sql = mark.as_ref().map(|(_, sql)| sql.as_str());
        let queries: Vec<&str> = mark_sql.into_iter().chain(["UNLISTEN *"]).collect();
        lease.ask(&queries).await?;
        let Some((mark, _)) = mark else {
            lease.take_heard(); // the listening connection delivers these
            return Ok(());
        };
        let mut before = true;
        let subscription = self.listening.subscription.take();
        self.pass_heard(|notification| {
            let found = subscription
                .as_ref()
                .and_then(|s| s.read_mark(notification));
            before &= found != Some(mark);
            // The marks of others who move at the same time arrive here, too.
            before && found.is_none()
        });
        self.listening.subscription = subscription;
        if before {
            return Err(QueryError::Protocol); // the mark is missing
        }
        Ok(())
    }

    /// Passes messages of the server on to the client.
    pub(in crate::session) fn tell(&mut self, messages: &[Box<[u8]>]) {
        for message in messages {
            self.client.pass_on(message);
        }
    }

    /// Passes on the notifications that came while pgvalet asked and satisfy `predicate`, unless
    /// the listening connection delivers them.
    pub(in crate::session) fn pass_heard(&mut self, mut predicate: impl FnMut(&[u8]) -> bool) {
        let Some(lease) = self.holding.lease_mut() else {
            return;
        };
        for notification in lease.take_heard() {
            let shared = &self.conversation.from_client.listens.shared;
            let known = message::read_notification(&notification)
                .is_some_and(|(channel, _)| shared.contains(channel));
            if predicate(&notification) && !known {
                self.client.pass_on(&notification);
            }
        }
    }
}

/// Whether the listening connection can deliver what this client expects: it does not convert
/// payloads.
fn can_be_shared(lease: &Lease) -> bool {
    let reported = |name: &str| lease.reported().get(name);
    reported("client_encoding") == reported("server_encoding")
}
