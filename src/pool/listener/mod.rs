//! One server connection that listens for all clients of a pool.
//!
//! A client's LISTEN runs on its own server connection, so that the server
//! decides about it (at commit, or not at all). Then it moves:
//!
//! * The first client's connection becomes the shared one.
//! * For a later client, the shared connection listens as well, and a *mark* is
//!   notified on a channel that both connections listen on. Notifications have one
//!   order for everybody: the client's connection delivers what comes before the
//!   mark, the shared one what comes behind it, so that nothing comes twice and
//!   nothing is lost.
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

/// What sessions and the pool ask of the task.
pub(super) enum Command {
    /// Use this connection, the first client's, to listen from now on. The connection listens on
    /// the subscriber's channels already.
    Donate {
        lease: Box<Lease>,
        subscriber: Arc<Subscriber>,
        channels: Vec<Box<str>>,
    },
    /// Listen on these channels as well. `done`: whether the server took it; dropped
    /// where there is no shared connection.
    Prepare {
        subscriber: Arc<Subscriber>,
        channels: Vec<Box<str>>,
        done: oneshot::Sender<bool>,
    },
    /// Deliver nothing more of these channels to this client; `None`: of any.
    Leave {
        subscriber: Arc<Subscriber>,
        channels: Option<Vec<Box<str>>>,
    },
    /// Another version is in force.
    Adopted,
}

/// The shared connection as the rest of the proxy sees it.
pub struct SharedListener {
    commands: UnboundedSender<Command>,
    shared: Arc<Shared>,
}

/// What sessions and the task share.
pub(super) struct Shared {
    /// The channel of the marks, whose name nobody else knows.
    channel: Box<str>,
    marks: Mutex<HashMap<u64, Arc<Subscriber>>>,
    next: AtomicU64,
    /// There is a shared connection, or one is on its way to the task.
    claimed: AtomicBool,
    channels: AtomicUsize,
    clients: AtomicUsize,
    generation: Mutex<Option<Arc<Generation>>>,
}

impl Shared {
    /// A new mark, for one subscriber or for the caller alone.
    fn mark(&self, subscriber: Option<&Arc<Subscriber>>) -> u64 {
        let mark = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some(subscriber) = subscriber {
            let mut marks = self.marks.lock();
            marks.insert(mark, subscriber.clone());
        }
        mark
    }

    /// Takes out the subscriber that a mark is for.
    fn marked(&self, mark: u64) -> Option<Arc<Subscriber>> {
        let mut marks = self.marks.lock();
        marks.remove(&mark)
    }

    /// Forgets the marks of a subscriber.
    fn forget(&self, subscriber: &Arc<Subscriber>) {
        let mut marks = self.marks.lock();
        marks.retain(|_, s| !Arc::ptr_eq(s, subscriber));
    }

    /// The mark that a notification is, if it is one.
    fn read_mark(&self, notification: &[u8]) -> Option<u64> {
        let (channel, payload) = message::read_notification(notification)?;
        (channel == &*self.channel).then(|| payload.parse().ok())?
    }

    /// SQL that listens for marks and sends one. The session that runs it hears the mark before
    /// ReadyForQuery.
    fn send_mark(&self, mark: u64) -> String {
        let channel = &self.channel;
        format!("LISTEN \"{channel}\"; NOTIFY \"{channel}\", '{mark}'")
    }
}

/// A shared connection at one moment.
pub struct ListenerCounts {
    pub channels: usize,
    pub clients: usize,
    pub generation: Arc<Generation>,
}

impl SharedListener {
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

    /// Tells the task that another version is in force.
    pub(super) fn adopted(&self) {
        let _ = self.commands.send(Command::Adopted);
    }

    /// A place for a client, which it gives up by dropping it.
    pub fn subscribe(&self) -> Subscription {
        Subscription::new(self.commands.clone(), self.shared.clone())
    }

    /// `None`: no client listens.
    pub fn counts(&self) -> Option<ListenerCounts> {
        let generation = self.shared.generation.lock().clone()?;
        Some(ListenerCounts {
            channels: self.shared.channels.load(Ordering::Relaxed),
            clients: self.shared.clients.load(Ordering::Relaxed),
            generation,
        })
    }
}

/// The SQL of one query that says `verb` for each channel.
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
