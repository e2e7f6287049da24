//! One client that listens: the notifications that wait for it, and what it asks
//! of the task.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::{Command, Shared};
use crate::pool::Lease;

/// How many bytes of notifications may wait for one client. Postgres itself keeps
/// up to 8 GB for all; but there, a client that does not read harms all others.
const MAX_WAITING: usize = 4 << 20;

/// Why a client gets no more notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The shared connection broke: something may have been missed.
    Lost,
    /// The client does not read.
    TooSlow,
}

/// A client's end of the queue between the task and its session.
#[derive(Default)]
pub(in crate::pool) struct Subscriber {
    queue: Mutex<Queue>,
    /// Something is in the queue; read without its lock.
    news: AtomicBool,
    waker: AtomicWaker,
}

#[derive(Default)]
struct Queue {
    /// Channels that are delivered.
    channels: BTreeSet<Box<str>>,
    /// Channels that are delivered once the mark has come.
    behind_mark: Vec<Box<str>>,
    waiting: VecDeque<(Box<str>, Arc<[u8]>)>,
    bytes: usize,
    end: Option<End>,
}

impl Subscriber {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }

    /// Wakes the session.
    fn tell(&self) {
        self.news.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Delivers from here on the channels that waited for the mark.
    pub(super) fn arm(&self) {
        let mut queue = self.queue();
        let channels = std::mem::take(&mut queue.behind_mark);
        queue.channels.extend(channels);
    }

    /// Queues a whole NotificationResponse, if the client listens on its channel.
    pub(super) fn push(&self, channel: &str, notification: &Arc<[u8]>) {
        let mut queue = self.queue();
        if queue.end.is_some() || !queue.channels.contains(channel) {
            return;
        }
        queue.bytes += notification.len();
        if queue.bytes > MAX_WAITING {
            queue.end = Some(End::TooSlow);
            queue.waiting = VecDeque::new();
        } else {
            queue
                .waiting
                .push_back((channel.into(), notification.clone()));
        }
        drop(queue);
        self.tell();
    }

    /// Delivers nothing more.
    pub(super) fn end(&self, end: End) {
        self.queue().end.get_or_insert(end);
        self.tell();
    }
}

/// A client's place among those that listen, which it gives up by dropping it.
pub struct Subscription {
    subscriber: Arc<Subscriber>,
    commands: UnboundedSender<Command>,
    shared: Arc<Shared>,
}

impl Subscription {
    pub(super) fn new(commands: UnboundedSender<Command>, shared: Arc<Shared>) -> Self {
        Self {
            subscriber: Arc::default(),
            commands,
            shared,
        }
    }

    /// Claims to be the first. A client that gets `true` has to donate its connection.
    pub fn claim(&self) -> bool {
        !self.shared.claimed.swap(true, Ordering::AcqRel)
    }

    /// Makes a connection that listens on these channels the shared one, which
    /// no rule's quota counts.
    pub fn donate(&self, mut lease: Lease, channels: &BTreeSet<Box<str>>) {
        drop(lease.take_permit());
        self.subscriber
            .queue()
            .channels
            .extend(channels.iter().cloned());
        let _ = self.commands.send(Command::Donate {
            lease: Box::new(lease),
            subscriber: self.subscriber.clone(),
            channels: channels.iter().cloned().collect(),
        });
    }

    /// Asks the shared connection to listen on these channels as well. The answer is
    /// `true` if it does, `false` if the server refused, and an error if there is no
    /// shared connection.
    pub fn prepare(&self, channels: &BTreeSet<Box<str>>) -> oneshot::Receiver<bool> {
        let (done, receiver) = oneshot::channel();
        let _ = self.commands.send(Command::Prepare {
            subscriber: self.subscriber.clone(),
            channels: channels.iter().cloned().collect(),
            done,
        });
        receiver
    }

    /// Has these channels delivered from a mark on; returns the mark, and the SQL that sends it.
    pub fn mark(&self, channels: &BTreeSet<Box<str>>) -> (u64, String) {
        self.subscriber.queue().behind_mark = channels.iter().cloned().collect();
        let mark = self.shared.mark(Some(&self.subscriber));
        (mark, self.shared.send_mark(mark))
    }

    /// The mark that a notification is, if it is one, also where the mark is for another client.
    pub fn read_mark(&self, notification: &[u8]) -> Option<u64> {
        self.shared.read_mark(notification)
    }

    /// Stops the delivery of these channels, also of notifications that wait already.
    pub fn leave(&self, channels: &[Box<str>]) {
        let mut queue = self.subscriber.queue();
        for channel in channels {
            queue.channels.remove(channel);
        }
        queue
            .waiting
            .retain(|(channel, _)| !channels.contains(channel));
        queue.bytes = queue.waiting.iter().map(|(_, n)| n.len()).sum();
        drop(queue);
        let _ = self.commands.send(Command::Leave {
            subscriber: self.subscriber.clone(),
            channels: Some(channels.to_vec()),
        });
    }

    /// Registers who is woken when there is news.
    pub fn register(&self, waker: &Waker) {
        self.subscriber.waker.register(waker);
    }

    /// Whether anything waits, or delivery has ended; takes no lock.
    pub fn has_news(&self) -> bool {
        self.subscriber.news.load(Ordering::Acquire)
    }

    /// Why nothing more is delivered, if delivery has ended.
    pub fn ended(&self) -> Option<End> {
        self.subscriber.queue().end
    }

    /// Appends the notifications that wait, up to about `room` bytes.
    pub fn take(&self, out: &mut Vec<u8>, room: usize) {
        let mut queue = self.subscriber.queue();
        let before = out.len();
        while out.len() - before < room {
            let Some((_, notification)) = queue.waiting.pop_front() else {
                break;
            };
            queue.bytes -= notification.len();
            out.extend_from_slice(&notification);
        }
        if queue.waiting.is_empty() {
            queue.waiting.shrink_to(16);
            self.subscriber.news.store(false, Ordering::Release);
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.forget(&self.subscriber);
        self.subscriber.queue().channels.clear();
        let _ = self.commands.send(Command::Leave {
            subscriber: self.subscriber.clone(),
            channels: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(subscriber: &Arc<Subscriber>) -> Vec<u8> {
        let (commands, _) = tokio::sync::mpsc::unbounded_channel();
        let (listener, _) = super::super::SharedListener::new();
        let mut subscription = Subscription::new(commands, listener.shared);
        subscription.subscriber = subscriber.clone();
        let mut out = Vec::new();
        subscription.take(&mut out, usize::MAX);
        std::mem::forget(subscription); // its drop would clear the channels
        out
    }

    #[test]
    fn only_what_is_armed_is_delivered_and_in_order() {
        let subscriber = Arc::new(Subscriber::default());
        let push = |channel: &str, text: &str| subscriber.push(channel, &text.as_bytes().into());
        subscriber.queue().behind_mark = vec!["a".into()];
        push("a", "1");
        subscriber.arm();
        push("b", "2");
        push("a", "3");
        push("a", "4");
        assert_eq!(queued(&subscriber), b"34");
        assert!(!subscriber.news.load(Ordering::Relaxed));
    }

    #[test]
    fn what_waits_is_bounded() {
        let subscriber = Arc::new(Subscriber::default());
        subscriber.queue().channels.insert("a".into());
        let notification: Arc<[u8]> = vec![0; 8000].into();
        for _ in 0..MAX_WAITING / 8000 + 1 {
            subscriber.push("a", &notification);
        }
        assert_eq!(subscriber.queue().end, Some(End::TooSlow));
        assert!(queued(&subscriber).is_empty());
    }
}
