//! The process that replaces another one.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use socket2::SockRef;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::link::Link;
use super::message::{Message, Offer, OfferedPool, VERSION};
use super::program::VARIABLE;
use crate::audit::Record;
use crate::config::Config;
use crate::net::InheritedSocket;
use crate::net::handover::{self, Receiver};
use crate::pool::{LoginTrouble, Remains};
use crate::server::ServerError;
use crate::server::build::Built;
use crate::server::pools::Key;
use crate::server::sockets::Sockets;
use crate::session;

/// How long a database that works in the old process is tried, where its server connections are
/// all in use, no version logs in yet, or the store does not answer.
const PROOF: Duration = Duration::from_secs(10);

/// How long the old process may take to close its log.
const LOG: Duration = Duration::from_secs(30);

/// How long the servers may take to notice that the old process was killed.
const KILLED: Duration = Duration::from_secs(2);

/// The process that has started this one to be replaced by it.
pub struct Predecessor(UnixStream);

/// What it has left.
pub struct Before {
    pub(in crate::server) link: Arc<Link>,
    receiver: Receiver,
    pub(in crate::server) offer: Box<Offer>,
}

impl Predecessor {
    /// `None`: somebody else has started this process. Called while there is one thread.
    ///
    /// # Errors
    /// Standard input cannot be used.
    pub fn take() -> io::Result<Option<Self>> {
        let input = io::stdin();
        let is_socket = SockRef::from(&input).r#type().is_ok();
        if std::env::var_os(VARIABLE).is_none() || !is_socket {
            return Ok(None);
        }
        let socket = input.as_fd().try_clone_to_owned()?;
        nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
        Ok(Some(Self(socket.into())))
    }

    /// Tells why this process ends before it has replaced the other one.
    pub fn fail(&self, why: &str) {
        // That process notices the end, if this does not arrive.
        let _ = handover::write_now(&self.0, &Message::Failed(why.to_owned()));
    }

    /// Says hello, and gets what the process before offers.
    ///
    /// # Errors
    /// It has ended, or offers something else.
    pub(in crate::server) async fn meet(&self) -> Result<(Before, Sockets), ServerError> {
        let lost = |e: io::Error| ServerError::Upgrade(format!("the process before this one: {e}"));
        let (sender, mut receiver) =
            handover::open(self.0.try_clone().map_err(lost)?).map_err(lost)?;
        let link = Link::new(sender);
        link.tell(&Message::Hello {
            version: VERSION,
            sessions: session::MOVED_VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
        });
        let offered = receiver.receive().await.map_err(lost)?;
        let Some((Message::Offer(offer), descriptors)) = offered else {
            return Err(ended());
        };
        let kinds = offer.sockets.iter().zip(descriptors);
        let sockets = Sockets::inherit(kinds.map(|((part, kind), socket)| {
            (
                *part,
                InheritedSocket {
                    socket,
                    kind: *kind,
                },
            )
        }))?;
        let before = Before {
            link,
            receiver,
            offer,
        };
        Ok((before, sockets))
    }
}

fn ended() -> ServerError {
    ServerError::Upgrade("the process before this one has ended".to_owned())
}

impl Before {
    /// The pools, with the slots that the old process has.
    pub(in crate::server) fn remains(&self, config: &Config) -> HashMap<Key, Remains> {
        let mut remains = HashMap::new();
        for (database, secret) in config.uses() {
            let key = (database.name().clone(), secret);
            let offered = self.offer.pools.iter().find(|offered| {
                offered.name.database == key.0 && *offered.name.secret == *key.1.as_str()
            });
            if let Some(offered) = offered {
                // A smaller ceiling holds for the old process too, which reads the same file.
                let slots = offered.size.min(database.pool_size);
                let tell = self.link.tells_of(offered.name.clone());
                remains.insert(key, Remains::elsewhere(slots, tell));
            }
        }
        remains
    }

    /// Waits until everything works here that works there, and opens the log.
    ///
    /// # Errors
    /// This process cannot replace the other one.
    pub(in crate::server) async fn prepare(
        self,
        built: &Arc<Built>,
    ) -> Result<Arc<Link>, ServerError> {
        let Self {
            link,
            receiver,
            offer,
        } = self;
        link.lists.store(offer.lists, Ordering::Relaxed);
        link.steers.store(offer.steers, Ordering::Relaxed);
        // What this process does before it is ready stands in the log of the other one.
        built.context.audit.pass_to(link.carries());
        let (free, log) = oneshot::channel();
        tokio::spawn(attend(receiver, link.clone(), Arc::downgrade(built), free));
        for offered in offer.pools.iter().filter(|pool| pool.works) {
            proven(built, offered).await?;
        }
        let audit = built.context.audit.clone();
        let held = tokio::task::spawn_blocking(move || audit.hold()).await;
        held.map_err(|e| ServerError::Upgrade(e.to_string()))?;
        link.tell(&Message::Prepared);
        let free = timeout(LOG, log).await.map_err(|_| ended())?;
        let last_session = free.map_err(|_| ended())?;
        built.context.sessions.begin_after(last_session);
        let audit = built.context.audit.clone();
        let opened = tokio::task::spawn_blocking(move || audit.take_over()).await;
        opened.map_err(|e| ServerError::Upgrade(e.to_string()))??;
        built.context.elsewhere.set(Some(link.clone()));
        built.upgrades.follows(&link);
        if link.is_lost() {
            built.context.elsewhere.set(None);
        }
        Ok(link)
    }
}

/// Waits until a version logs in. Where all connections are in use, none can be tried.
async fn proven(built: &Built, offered: &OfferedPool) -> Result<(), ServerError> {
    let Some(pool) = built.pool(&offered.name) else {
        return Ok(()); // the configuration does not name it any more
    };
    let failed = |why: &str| {
        ServerError::Upgrade(format!("database \"{}\" does not work: {why}", pool.name))
    };
    let until = Instant::now() + PROOF;
    loop {
        let counts = pool.counts();
        if counts.in_force().is_some() || counts.paused {
            return Ok(());
        }
        let late = Instant::now() >= until;
        // In the middle of a rotation no version may log in for a moment.
        let may_pass = matches!(counts.trouble, Some(LoginTrouble::NoneLogsIn(_)));
        if !counts.tried.is_empty()
            && let Some(why) = &counts.problem
            && (late || !may_pass)
        {
            return Err(failed(why));
        }
        if late {
            return match &pool.follower.known().error {
                Some(why) => Err(failed(why)),
                None => Ok(()),
            };
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// Hears what the old process says, until it ends.
async fn attend(
    mut receiver: Receiver,
    link: Arc<Link>,
    built: Weak<Built>,
    free: oneshot::Sender<u64>,
) {
    let (mut free, mut goodbye) = (Some(free), false);
    while let Ok(Some((message, descriptors))) = receiver.receive().await {
        let Some(built) = built.upgrade() else { return };
        match link.obey(&built, message, descriptors) {
            Some(Message::LogFree { last_session }) => {
                if let Some(free) = free.take() {
                    let _ = free.send(last_session);
                }
            }
            Some(Message::Goodbye) => goodbye = true,
            _ => {}
        }
    }
    link.lost();
    let Some(built) = built.upgrade() else { return };
    built.context.elsewhere.set(None);
    if goodbye {
        info!("the process before this one has ended");
    } else {
        let pid = std::env::var(VARIABLE).unwrap_or_default();
        warn!("process {pid} before this one ended without warning, and its sessions with it");
        built.context.audit.record(Record::process_lost(&pid));
        sleep(KILLED).await;
    }
    for pool in built.all_pools() {
        pool.share_no_more();
    }
    built.upgrades.is_alone();
}
