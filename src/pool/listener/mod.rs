//! One server connection that listens for all clients of a pool.
//!
//! A client's LISTEN runs on its own server connection, so that the server
//! decides about it (at commit, or not at all). Then it moves:
//!
//! * the first client's connection becomes the listening one;
//! * for the others, that one listens as well, and a *mark* is notified on a
//!   channel that both listen on. Notifications have one order for everybody:
//!   what comes before the mark is delivered by the client's connection, what
//!   comes behind it by the shared one, and nothing twice or not at all.
//!
//! A connection of a newer generation takes over in the same way.

mod hub;
mod line;
mod subscriber;

pub use subscriber::{End, Subscription};

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::{Generation, Lease, Pool};
use crate::wire::message;
use subscriber::Subscriber;

/// What sessions, and the pool, ask of the task.
pub(super) enum Command {
    /// The first client's connection, to listen from now on. It listens on the
    /// subscriber's channels already.
    Donate {
        lease: Box<Lease>,
        subscriber: Arc<Subscriber>,
        channels: Vec<Box<str>>,
    },
    /// Listen on these as well. `done` is dropped where nothing listens.
    Prepare {
        subscriber: Arc<Subscriber>,
        channels: Vec<Box<str>>,
        done: oneshot::Sender<bool>,
    },
    /// Nothing more for this client of these channels, or of any.
    Leave {
        subscriber: Arc<Subscriber>,
        channels: Option<Vec<Box<str>>>,
    },
    /// Another version is in force.
    Adopted,
}

/// The listening connection as others see it.
pub struct Listener {
    commands: UnboundedSender<Command>,
    shared: Arc<Shared>,
}

/// What sessions and the task both look at.
pub(super) struct Shared {
    /// The channel of the marks: nobody else knows its name.
    channel: Box<str>,
    marks: Mutex<HashMap<u64, Arc<Subscriber>>>,
    next: AtomicU64,
    /// There is a listening connection, or one is on its way to the task.
    claimed: AtomicBool,
    channels: AtomicUsize,
    clients: AtomicUsize,
    generation: Mutex<Option<Arc<Generation>>>,
}

impl Shared {
    /// A mark that means something to one subscriber, or to the caller alone.
    fn mark(&self, subscriber: Option<&Arc<Subscriber>>) -> u64 {
        let mark = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some(subscriber) = subscriber {
            let mut marks = self.marks.lock();
            marks.insert(mark, subscriber.clone());
        }
        mark
    }

    fn marked(&self, mark: u64) -> Option<Arc<Subscriber>> {
        let mut marks = self.marks.lock();
        marks.remove(&mark)
    }

    fn forget(&self, subscriber: &Arc<Subscriber>) {
        let mut marks = self.marks.lock();
        marks.retain(|_, s| !Arc::ptr_eq(s, subscriber));
    }

    /// The mark that a notification is, if it is one.
    fn read_mark(&self, notification: &[u8]) -> Option<u64> {
        let (channel, payload) = message::read_notification(notification)?;
        (channel == &*self.channel).then(|| payload.parse().ok())?
    }

    /// SQL that listens for marks and sends one. Its own session hears it
    /// before ReadyForQuery.
    fn send_mark(&self, mark: u64) -> String {
        let channel = &self.channel;
        format!("LISTEN \"{channel}\"; NOTIFY \"{channel}\", '{mark}'")
    }
}

/// What there is to see of a listening connection.
pub struct ListenerCounts {
    pub channels: usize,
    pub clients: usize,
    pub generation: Arc<Generation>,
}

impl Listener {
    pub(super) fn new() -> (Self, UnboundedReceiver<Command>) {
        let (commands, receiver) = unbounded_channel();
        let shared = Arc::new(Shared {
            channel: format!("pgvalet_{}", uuid::Uuid::new_v4().simple()).into(),
            marks: Mutex::default(),
            next: AtomicU64::new(1),
            claimed: AtomicBool::new(false),
            channels: AtomicUsize::new(0),
            clients: AtomicUsize::new(0),
            generation: Mutex::default(),
        });
        (Self { commands, shared }, receiver)
    }

    /// The task; it ends with the pool.
    pub(super) async fn run(pool: Weak<Pool>, commands: UnboundedReceiver<Command>) {
        let Some(shared) = pool.upgrade().map(|p| p.listener.shared.clone()) else {
            return;
        };
        hub::run(pool, shared, commands).await;
    }

    pub(super) fn adopted(&self) {
        let _ = self.commands.send(Command::Adopted);
    }

    /// A place for a client; it ends when it is dropped.
    pub fn subscribe(&self) -> Subscription {
        Subscription::new(self.commands.clone(), self.shared.clone())
    }

    pub fn counts(&self) -> Option<ListenerCounts> {
        let generation = self.shared.generation.lock().clone()?;
        Some(ListenerCounts {
            channels: self.shared.channels.load(Ordering::Relaxed),
            clients: self.shared.clients.load(Ordering::Relaxed),
            generation,
        })
    }
}

/// Statements for each of the channels, for one query.
pub fn for_each_channel<'a>(
    verb: &str,
    channels: impl IntoIterator<Item = &'a Box<str>>,
) -> String {
    let mut sql = String::new();
    for channel in channels {
        sql.push_str(verb);
        sql.push_str(" \"");
        sql.push_str(&channel.replace('"', "\"\""));
        sql.push_str("\";");
    }
    sql
}
