//! The connection of the two processes, as either of them uses it.

use std::collections::HashMap;
use std::future::{Future, ready};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::error;

use super::message::{Message, PoolName};
use super::steer;
use crate::admin::{self, ClientView, Operations, Others};
use crate::audit::{AuditError, Carry, Passed};
use crate::net::handover::Sender;
use crate::pool::Tell;
use crate::server::build::Built;
use crate::session::{self, Moved, Other};

/// How long the other process may take to say whom it serves.
const ANSWER: Duration = Duration::from_secs(2);

/// The way to the other process.
pub struct Link {
    sender: Sender,
    cancels: Mutex<HashMap<u64, oneshot::Sender<bool>>>,
    /// Sessions that the other process has been given, and has not confirmed.
    sessions: Mutex<HashMap<u64, oneshot::Sender<()>>>,
    /// Lists of clients that the other process was asked for.
    lists_of_clients: Mutex<HashMap<u64, oneshot::Sender<Vec<ClientView>>>>,
    requests: AtomicU64,
    records: Mutex<Records>,
    /// The other process takes over sessions.
    pub(super) takes_sessions: AtomicBool,
    /// The other process says whom it serves.
    pub(super) lists: AtomicBool,
    /// The other process does what an administrator does here.
    pub(super) steers: AtomicBool,
}

/// The records that are on their way.
#[derive(Default)]
struct Records {
    /// Told when they are written.
    waits: Option<mpsc::Sender<Result<(), String>>>,
    /// The other process has ended.
    lost: bool,
}

impl Link {
    pub fn new(sender: Sender) -> Arc<Self> {
        Arc::new(Self {
            sender,
            cancels: Mutex::default(),
            sessions: Mutex::default(),
            lists_of_clients: Mutex::default(),
            requests: AtomicU64::new(0),
            records: Mutex::default(),
            takes_sessions: AtomicBool::new(false),
            lists: AtomicBool::new(false),
            steers: AtomicBool::new(false),
        })
    }

    pub fn tell(&self, message: &Message) {
        self.tell_with(message, Vec::new());
    }

    pub fn tell_with(&self, message: &Message, descriptors: Vec<OwnedFd>) {
        if let Err(e) = self.sender.send(message, descriptors) {
            error!("a message to the other process could not be sent: {e}");
        }
    }

    /// Waits until everything is written; `false`: the other process has ended.
    pub async fn flush(&self) -> bool {
        self.sender.flush().await
    }

    /// Tells of the slots of a pool.
    pub fn tells_of(self: &Arc<Self>, pool: PoolName) -> Tell {
        let link = self.clone();
        Arc::new(move |share| {
            let pool = pool.clone();
            link.tell(&Message::Share { pool, share });
        })
    }

    /// Has records written by the other process.
    pub fn carries(self: &Arc<Self>) -> Carry {
        let link = self.clone();
        Box::new(move |records| link.carry(records))
    }

    fn carry(&self, records: Vec<Passed>) -> Option<Result<(), String>> {
        let (written, waits) = mpsc::channel();
        {
            let mut state = self.records.lock();
            if state.lost {
                return None;
            }
            state.waits = Some(written);
        }
        self.tell(&Message::Records(records));
        waits.recv().ok()
    }

    pub fn is_lost(&self) -> bool {
        self.records.lock().lost
    }

    /// The other process has ended: nobody waits for it any more.
    pub fn lost(&self) {
        *self.records.lock() = Records {
            waits: None,
            lost: true,
        };
        self.cancels.lock().clear();
        self.sessions.lock().clear();
        self.lists_of_clients.lock().clear();
    }

    /// Asks the other process whom it serves. One that does not answer in time serves nobody
    /// that could be shown.
    pub fn list(&self) -> Others {
        if !self.lists.load(Ordering::Relaxed) {
            return Box::pin(ready(Vec::new()));
        }
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        let (done, waits) = oneshot::channel();
        self.lists_of_clients.lock().insert(request, done);
        if self.is_lost() {
            self.lists_of_clients.lock().remove(&request);
        }
        self.tell(&Message::List { request });
        Box::pin(async move {
            let listed = timeout(ANSWER, waits).await;
            listed.ok().and_then(Result::ok).unwrap_or_default()
        })
    }

    /// Does what either process may ask for, or takes its answer; `None` then.
    pub fn obey(
        self: &Arc<Self>,
        built: &Arc<Built>,
        message: Message,
        descriptors: Vec<OwnedFd>,
    ) -> Option<Message> {
        match message {
            Message::Share { pool, share } => {
                if let Some(pool) = built.pool(&pool) {
                    pool.hear(share);
                }
            }
            Message::Cancel { request, pid, key } => {
                let (link, built) = (self.clone(), built.clone());
                tokio::spawn(async move {
                    let found = built.context.sessions.cancel(pid, &key).await;
                    link.tell(&Message::Cancelled { request, found });
                });
            }
            Message::Session { request, moved } => {
                if let Some(socket) = descriptors.into_iter().next() {
                    self.resume(built, request, *moved, socket);
                }
            }
            Message::List { request } => {
                let mut clients = admin::clients(&**built, None);
                for client in &mut clients {
                    client.process = Some(std::process::id());
                }
                self.tell(&Message::Listed { request, clients });
            }
            Message::Records(records) => {
                // The next ones come when these are written, so that they stay in order.
                let (link, built) = (self.clone(), built.clone());
                tokio::spawn(async move {
                    let written = built.context.audit.record_passed(records).await;
                    link.tell(&match written {
                        Err(AuditError::Closed) => Message::LogClosed,
                        written => Message::Written(written.err().map(|e| e.to_string())),
                    });
                });
            }
            Message::Steer(steer) => steer::obey(built, steer),
            Message::Reload => {
                let built = built.clone();
                tokio::spawn(async move {
                    if let Err(e) = built.reload().await {
                        error!(
                            "the configuration was not reloaded for the sessions of this process: {e}"
                        );
                    }
                });
            }
            other => return self.hear(other),
        }
        None
    }

    /// Goes on with a session of the other process.
    fn resume(self: &Arc<Self>, built: &Arc<Built>, request: u64, moved: Moved, socket: OwnedFd) {
        let seat = built.descriptors.keep();
        let (link, context) = (self.clone(), built.context.clone());
        tokio::spawn(async move {
            // If this process ends before that is written, the other one goes on with the
            // session: nothing of it must have been done here.
            link.tell(&Message::Taken { request });
            if link.flush().await {
                session::resume(context, moved, socket, seat).await;
            }
        });
    }

    /// Passes an answer of the other process to whoever waits for it; gives back what is none.
    fn hear(&self, message: Message) -> Option<Message> {
        match message {
            Message::Cancelled { request, found } => {
                if let Some(waits) = self.cancels.lock().remove(&request) {
                    let _ = waits.send(found);
                }
            }
            Message::Taken { request } => {
                if let Some(waits) = self.sessions.lock().remove(&request) {
                    let _ = waits.send(());
                }
            }
            Message::Listed { request, clients } => {
                if let Some(waits) = self.lists_of_clients.lock().remove(&request) {
                    let _ = waits.send(clients);
                }
            }
            Message::LogClosed => self.records.lock().waits = None,
            Message::Written(failed) => {
                if let Some(waits) = self.records.lock().waits.take() {
                    let _ = waits.send(failed.map_or(Ok(()), Err));
                }
            }
            other => return Some(other),
        }
        None
    }
}

impl Other for Link {
    fn take(&self, session: Moved, socket: OwnedFd) -> Pin<Box<dyn Future<Output = bool> + Send>> {
        if !self.takes_sessions.load(Ordering::Relaxed) {
            return Box::pin(ready(false));
        }
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        let (done, waits) = oneshot::channel();
        self.sessions.lock().insert(request, done);
        if self.is_lost() {
            self.sessions.lock().remove(&request);
        }
        let moved = Box::new(session);
        self.tell_with(&Message::Session { request, moved }, vec![socket]);
        Box::pin(async move { waits.await.is_ok() })
    }

    fn cancel(&self, pid: u32, key: &[u8]) -> Pin<Box<dyn Future<Output = bool> + Send>> {
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        let (done, waits) = oneshot::channel();
        self.cancels.lock().insert(request, done);
        if self.records.lock().lost {
            self.cancels.lock().remove(&request);
        }
        let key = key.to_owned();
        self.tell(&Message::Cancel { request, pid, key });
        Box::pin(async move { waits.await.unwrap_or(false) })
    }
}
