//! The task of the listening connection: who listens on what, and who gets
//! what it hears.

use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::line::Line;
use super::subscriber::Subscriber;
use super::{Command, End, Shared, for_each_channel};
use crate::pool::{Lease, Pool};
use crate::upstream::QueryError;
use crate::wire::message;
use crate::wire::tag::backend as tag;

/// How long the old connection may take to deliver what came before the mark.
const HANDOVER: Duration = Duration::from_secs(30);
/// Between two attempts to get a connection of the generation in force.
const RETRY: Duration = Duration::from_millis(500);

type Routes = BTreeMap<Box<str>, Vec<Arc<Subscriber>>>;
type Successor = Pin<Box<dyn Future<Output = Lease> + Send>>;

struct Hub {
    pool: Weak<Pool>,
    shared: Arc<Shared>,
    routes: Routes,
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

async fn hear(line: &mut Option<Line>) -> Result<bytes::BytesMut, QueryError> {
    match line {
        Some(line) => line.next().await,
        None => pending().await,
    }
}

async fn arrival(successor: &mut Option<Successor>) -> Lease {
    match successor {
        Some(lease) => lease.await,
        None => pending().await,
    }
}

/// A message of the listening connection, to whom it concerns.
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

    /// A client's connection becomes the listening one.
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
                        info!(pid = %line.lease.backend().pid, "this connection listens for its clients");
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

    /// `None` where nothing listens.
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

    /// Nobody listens any more: the connection goes back to the others.
    fn release(&mut self) {
        self.successor = None;
        if let Some(line) = self.line.take() {
            line.lease.check_in_after_cleaning(false);
        }
        self.shared.claimed.store(false, Ordering::Release);
    }

    /// The connection broke. Whoever listened has to be told, because what was
    /// notified since is gone.
    fn lost(&mut self, error: &QueryError) {
        warn!("the listening connection was lost: {error}");
        for subscriber in std::mem::take(&mut self.routes).values().flatten() {
            subscriber.end(End::Lost);
        }
        self.successor = None;
        self.line = None; // dirty, so it is closed
        self.shared.claimed.store(false, Ordering::Release);
    }

    /// Where the connection is of an older generation, gets another one, in
    /// the pool's queue.
    fn look_for_successor(&mut self, after: Duration) {
        if self.line.as_ref().is_none_or(|l| l.lease.is_current()) {
            return;
        }
        let pool = self.pool.clone();
        self.successor = Some(Box::pin(async move {
            sleep(after).await;
            loop {
                let lease = match pool.upgrade() {
                    Some(pool) => pool.checkout(None).await,
                    None => pending().await,
                };
                match lease {
                    Ok(lease) if lease.is_current() => return lease,
                    Ok(_) | Err(_) => sleep(RETRY).await,
                }
            }
        }));
    }

    /// The new connection listens before the old one stops; a mark tells what
    /// is whose to deliver.
    async fn move_to(&mut self, lease: Lease) {
        self.successor = None;
        let Some(mut old) = self.line.take() else {
            return;
        };
        let (shared, routes) = (self.shared.clone(), &self.routes);
        let mark = shared.mark(None);
        let mut behind: Vec<Box<[u8]>> = Vec::new();
        let opened = async {
            let mut new = Line::open(lease, |_| {}).await?;
            let listen = for_each_channel("LISTEN", routes.keys());
            let mut passed = false;
            let sql = format!("{listen}{}", shared.send_mark(mark));
            let hear = |m: &[u8]| {
                if passed {
                    behind.push(m.into());
                } else {
                    passed = shared.read_mark(m) == Some(mark);
                }
            };
            new.run(&sql, hear).await?;
            if passed {
                Ok::<Line, QueryError>(new)
            } else {
                Err(QueryError::Protocol) // the mark went missing
            }
        };
        let new = match opened.await {
            Ok(new) => new,
            Err(error) => {
                warn!("the new listening connection failed: {error}");
                self.line = Some(old);
                self.look_for_successor(RETRY);
                return;
            }
        };
        let rest = async {
            loop {
                let message = old.next().await?;
                if shared.read_mark(&message) == Some(mark) {
                    return Ok::<(), QueryError>(());
                }
                deliver(&shared, routes, &message);
            }
        };
        let rest = timeout(HANDOVER, rest).await;
        match rest.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())) {
            Ok(()) => {}
            Err(error) => {
                self.line = Some(new);
                return self.lost(&error);
            }
        }
        old.lease.check_in_after_cleaning(false);
        for message in behind {
            deliver(&shared, routes, &message);
        }
        info!(pid = %new.lease.backend().pid, "this connection listens for the clients from now on");
        self.line = Some(new);
        // Another version may have come in between.
        self.look_for_successor(Duration::ZERO);
    }

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
