//! The task of the shared connection: which clients listen on which channels, and
//! who gets what the connection hears.

mod handover;

use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tracing::{info, warn};

use super::line::Line;
use super::subscriber::Subscriber;
use super::{Command, End, Shared, for_each_channel};
use crate::pool::{Lease, Pool};
use crate::upstream::QueryError;
use crate::wire::message;
use crate::wire::tag::backend as tag;

type Routes = BTreeMap<Box<str>, Vec<Arc<Subscriber>>>;
type Successor = Pin<Box<dyn Future<Output = Lease> + Send>>;

struct Hub {
    pool: Weak<Pool>,
    shared: Arc<Shared>,
    routes: Routes,
    /// The shared connection.
    line: Option<Line>,
    /// A connection of the generation in force, to move to.
    successor: Option<Successor>,
}

enum Happening {
    Asked(Command),
    Heard(Result<bytes::BytesMut, QueryError>),
    Successor(Lease),
}

pub(super) async fn run(
    pool: Weak<Pool>,
    shared: Arc<Shared>,
    mut commands: UnboundedReceiver<Command>,
) {
    let mut hub = Hub {
        pool,
        shared,
        routes: Routes::new(),
        line: None,
        successor: None,
    };
    loop {
        let happening = {
            let Hub {
                line, successor, ..
            } = &mut hub;
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => Happening::Asked(command),
                    None => return,
                },
                message = hear(line) => Happening::Heard(message),
                lease = arrival(successor) => Happening::Successor(lease),
            }
        };
        match happening {
            Happening::Asked(command) => hub.obey(command).await,
            Happening::Heard(Ok(message)) => deliver(&hub.shared, &hub.routes, &message),
            Happening::Heard(Err(error)) => hub.lost(&error),
            Happening::Successor(lease) => hub.move_to(lease).await,
        }
        hub.publish();
    }
}

/// The next message of the shared connection, once there is one.
async fn hear(line: &mut Option<Line>) -> Result<bytes::BytesMut, QueryError> {
    match line {
        Some(line) => line.next().await,
        None => pending().await,
    }
}

/// The connection that takes over, once it is asked for and there.
async fn arrival(successor: &mut Option<Successor>) -> Lease {
    match successor {
        Some(lease) => lease.await,
        None => pending().await,
    }
}

/// Hands a message of the shared connection to the clients that it is for.
fn deliver(shared: &Shared, routes: &Routes, message: &[u8]) {
    if message.first() != Some(&tag::NOTIFICATION_RESPONSE) {
        return;
    }
    if let Some(mark) = shared.read_mark(message) {
        if let Some(subscriber) = shared.marked(mark) {
            subscriber.arm();
        }
        return;
    }
    let Some((channel, _)) = message::read_notification(message) else {
        return;
    };
    if let Some(subscribers) = routes.get(channel) {
        let notification: Arc<[u8]> = message.into();
        for subscriber in subscribers {
            subscriber.push(channel, &notification);
        }
    }
}

impl Hub {
    async fn obey(&mut self, command: Command) {
        match command {
            Command::Donate {
                lease,
                subscriber,
                channels,
            } => self.begin(*lease, &subscriber, channels).await,
            Command::Prepare {
                subscriber,
                channels,
                done,
            } => {
                if let Some(ready) = self.prepare(&subscriber, channels).await {
                    let _ = done.send(ready);
                }
            }
            Command::Leave {
                subscriber,
                channels,
            } => self.leave(&subscriber, channels.as_deref()).await,
            Command::Adopted => self.look_for_successor(Duration::ZERO),
        }
    }

    /// Makes a client's connection the shared one.
    async fn begin(&mut self, lease: Lease, who: &Arc<Subscriber>, channels: Vec<Box<str>>) {
        for channel in channels {
            self.routes.entry(channel).or_default().push(who.clone());
        }
        let (shared, routes) = (&self.shared, &self.routes);
        match Line::open(lease, |m| deliver(shared, routes, m)).await {
            Ok(mut line) => {
                let listen = for_each_channel("LISTEN", [&shared.channel]);
                match line.run(&listen, |m| deliver(shared, routes, m)).await {
                    Ok(()) => {
                        info!(pid = %line.lease.backend().pid, "the clients' LISTEN moves to this server connection");
                        let current = line.lease.is_current();
                        self.line = Some(line);
                        if !current {
                            self.look_for_successor(Duration::ZERO);
                        }
                    }
                    Err(error) => self.lost(&error),
                }
            }
            Err(error) => self.lost(&error),
        }
    }

    /// Listens on more channels for a client; whether the server took it. `None`:
    /// there is no shared connection.
    async fn prepare(&mut self, who: &Arc<Subscriber>, channels: Vec<Box<str>>) -> Option<bool> {
        let line = self.line.as_mut()?;
        let new = channels.iter().filter(|c| !self.routes.contains_key(*c));
        let sql = for_each_channel("LISTEN", new);
        if !sql.is_empty() {
            let (shared, routes) = (&self.shared, &self.routes);
            match line.run(&sql, |m| deliver(shared, routes, m)).await {
                Ok(()) => {}
                Err(QueryError::Refused(fields)) => {
                    warn!("LISTEN was refused: {}", fields.message);
                    return Some(false);
                }
                Err(error) => {
                    self.lost(&error);
                    return None;
                }
            }
        }
        for channel in channels {
            let subscribers = self.routes.entry(channel).or_default();
            if !subscribers.iter().any(|s| Arc::ptr_eq(s, who)) {
                subscribers.push(who.clone());
            }
        }
        Some(true)
    }

    /// Delivers nothing more of these channels to a client.
    async fn leave(&mut self, who: &Arc<Subscriber>, channels: Option<&[Box<str>]>) {
        let mut unheard = Vec::new();
        self.routes.retain(|channel, subscribers| {
            if channels.is_none_or(|c| c.contains(channel)) {
                subscribers.retain(|s| !Arc::ptr_eq(s, who));
            }
            if subscribers.is_empty() {
                unheard.push(channel.clone());
            }
            !subscribers.is_empty()
        });
        let Some(line) = &mut self.line else { return };
        if self.routes.is_empty() {
            self.release();
            return;
        }
        let sql = for_each_channel("UNLISTEN", &unheard);
        if !sql.is_empty() {
            let (shared, routes) = (&self.shared, &self.routes);
            if let Err(error) = line.run(&sql, |m| deliver(shared, routes, m)).await {
                self.lost(&error);
            }
        }
    }

    /// Gives the connection back to the pool, because nobody listens any more.
    fn release(&mut self) {
        self.successor = None;
        if let Some(line) = self.line.take() {
            line.lease.check_in_after_cleaning(false);
        }
        self.shared.claimed.store(false, Ordering::Release);
    }

    /// Tells all clients that listen that the connection broke, because what was
    /// notified since is lost.
    fn lost(&mut self, error: &QueryError) {
        warn!("the shared listening connection was lost: {error}");
        for subscriber in std::mem::take(&mut self.routes).values().flatten() {
            subscriber.end(End::Lost);
        }
        self.successor = None;
        self.line = None; // dirty, so it is closed
        self.shared.claimed.store(false, Ordering::Release);
    }

    /// Brings up to date what others see.
    fn publish(&self) {
        let mut clients: Vec<_> = self.routes.values().flatten().map(Arc::as_ptr).collect();
        clients.sort_unstable();
        clients.dedup();
        self.shared.clients.store(clients.len(), Ordering::Relaxed);
        self.shared
            .channels
            .store(self.routes.len(), Ordering::Relaxed);
        let generation = self.line.as_ref().map(|l| l.lease.generation.clone());
        *self.shared.generation.lock() = generation;
    }
}
