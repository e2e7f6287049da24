//! The process that is replaced.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::process::Child;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::link::Link;
use super::message::{Message, Offer, OfferedPool, PoolName, VERSION};
use super::program;
use super::turn::Turn;
use crate::admin::Operations;
use crate::net::handover::{self, Receiver};
use crate::pool::PoolMode;
use crate::server::build::Built;
use crate::server::rotation;
use crate::session::{self, Signal};

/// The sessions that may begin here before the new process accepts, and of handshakes that are
/// under way then.
const STILL_TO_COME: u64 = 10_000;

/// How often sessions are asked to go on in the new process.
const MOVE: Duration = Duration::from_millis(200);

/// How long the end of the new process is waited for.
const END: Duration = Duration::from_secs(2);

/// Replaces this process by a new one; says which.
///
/// # Errors
/// Why it was not replaced. It goes on as before then.
pub async fn upgrade(
    built: Arc<Built>,
    binary: Option<PathBuf>,
    limit: Duration,
) -> Result<String, String> {
    let turn = built.upgrades.begin(&built)?;
    let program = match binary {
        Some(binary) => binary,
        None => program::own()?,
    };
    info!("upgrading: starting {}", program.display());
    let result = replace(&built, program, limit, turn).await;
    if let Err(why) = &result {
        warn!("not upgraded, and nothing has changed: {why}");
    }
    result
}

async fn replace(
    built: &Arc<Built>,
    program: PathBuf,
    limit: Duration,
    turn: Turn,
) -> Result<String, String> {
    let mut successor = Successor::start(built, program)?;
    let ready = timeout(limit, successor.become_ready()).await;
    let ready = ready.unwrap_or_else(|_| {
        Err(format!(
            "the new process was not ready within {} s",
            limit.as_secs_f64()
        ))
    });
    match ready {
        Ok(what) => {
            successor.hand_over(turn);
            Ok(what)
        }
        Err(why) => {
            successor.give_up().await;
            Err(why)
        }
    }
}

struct Successor {
    built: Arc<Built>,
    child: Child,
    pid: u32,
    link: Arc<Link>,
    receiver: Receiver,
}

impl Successor {
    fn start(built: &Arc<Built>, program: PathBuf) -> Result<Self, String> {
        let no_socket = |e: std::io::Error| format!("there is no socket for it: {e}");
        let (ours, theirs) = UnixStream::pair().map_err(no_socket)?;
        let (sender, receiver) = handover::open(ours).map_err(no_socket)?;
        let child = program::start(&program, Stdio::from(OwnedFd::from(theirs)))?;
        Ok(Self {
            built: built.clone(),
            pid: child.id().unwrap_or_default(),
            child,
            link: Link::new(sender),
            receiver,
        })
    }

    /// The next message that is for this process alone.
    async fn next(&mut self) -> Result<Message, String> {
        loop {
            let (message, descriptors) = match self.receiver.receive().await {
                Ok(Some(message)) => message,
                Ok(None) => return Err(self.ended().await),
                Err(e) => return Err(format!("the new process says what nobody understands: {e}")),
            };
            match self.link.obey(&self.built, message, descriptors) {
                Some(Message::Failed(why)) => return Err(why),
                Some(message) => return Ok(message),
                None => {}
            }
        }
    }

    async fn ended(&mut self) -> String {
        match timeout(END, self.child.wait()).await {
            Ok(Ok(status)) => format!(
                "the new process ended ({status}) before it was ready; its log says why, if it is a pgvalet that can be upgraded to"
            ),
            _ => "the new process closed its connection before it was ready".to_owned(),
        }
    }

    /// Waits until the new process serves; says which one it is.
    async fn become_ready(&mut self) -> Result<String, String> {
        let Message::Hello {
            version,
            sessions,
            program,
            ..
        } = self.next().await?
        else {
            return Err(unexpected());
        };
        if version != VERSION {
            return Err(format!(
                "pgvalet {program} cannot take over from this one; restart pgvalet instead"
            ));
        }
        let takes = sessions == session::MOVED_VERSION;
        self.link.takes_sessions.store(takes, Ordering::Relaxed);
        self.offer()?;
        let Message::Prepared = self.next().await? else {
            return Err(unexpected());
        };
        self.built.rotations.stop();
        let audit = self.built.context.audit.clone();
        let released = tokio::task::spawn_blocking(move || audit.release()).await;
        released.map_err(|e| e.to_string())?;
        let last_session = self.built.context.sessions.last_id() + STILL_TO_COME;
        self.link.tell(&Message::LogFree { last_session });
        let Message::Ready = self.next().await? else {
            return Err(unexpected());
        };
        Ok(format!("pgvalet {program} runs, pid {}", self.pid))
    }

    /// Offers the listening sockets and the pools, whose slots are shared from now on.
    fn offer(&self) -> Result<(), String> {
        let built = &self.built;
        let sockets = built
            .open
            .offer()
            .map_err(|e| format!("the listening sockets cannot be passed on: {e}"))?;
        let mut pools = Vec::new();
        for pool in built.all_pools() {
            let name = PoolName::of(&pool);
            pools.push(OfferedPool {
                size: pool.share_size(),
                works: pool.counts().works(),
                name: name.clone(),
            });
            pool.share(0, self.link.tells_of(name));
        }
        let offer = Offer {
            sockets: sockets.kinds,
            pools,
            switches: built.context.switches.get(),
            lists: true,
            steers: true,
            token: built.own_token.clone(),
        };
        self.link
            .tell_with(&Message::Offer(Box::new(offer)), sockets.descriptors);
        Ok(())
    }

    /// Ends the new process, and goes on as before.
    async fn give_up(mut self) {
        let _ = self.child.kill().await;
        self.alone();
        rotation::apply(&self.built);
    }

    /// Does without the other process.
    fn alone(&self) {
        self.link.lost();
        self.built.context.elsewhere.set(None);
        for pool in self.built.all_pools() {
            pool.share_no_more();
        }
        self.built.context.audit.reclaim();
    }

    /// Leaves everything to the new process but the sessions that are here.
    fn hand_over(self, turn: Turn) {
        let built = self.built.clone();
        turn.handed_over(self.pid, self.link.clone());
        built.health.stops();
        built.context.elsewhere.set(Some(self.link.clone()));
        built.open.leave();
        built.closing.send_replace(true);
        built.stores.close();
        built.ended.send_replace(true);
        built.context.audit.pass_to(self.link.carries());
        for pool in built.all_pools() {
            pool.stays_behind();
        }
        info!(
            "pid {} serves from now on; {} sessions stay here until they end",
            self.pid,
            built.context.sessions.len()
        );
        let link = self.link.clone();
        tokio::spawn(async move {
            // What the new configuration says of access holds for these sessions too.
            if let Err(e) = built.clone().reload().await {
                warn!("the sessions that stay here keep to the configuration before: {e}");
            }
            for pool in built.all_pools() {
                pool.give_free();
            }
            move_sessions(built, link).await;
        });
        tokio::spawn(self.attend());
    }

    /// Hears what the new process says, until one of the two ends.
    async fn attend(mut self) {
        loop {
            match self.next().await {
                Ok(Message::Stop) => self.built.upgrades.stop.notify_one(),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        warn!(
            "the process that has replaced this one has ended; sessions stay here until they end"
        );
        self.alone();
        let _ = self.child.wait().await;
    }
}

/// Asks sessions to go on in the new process, each when it is between transactions, for as long
/// as there are any here.
async fn move_sessions(built: Arc<Built>, link: Arc<Link>) {
    while !link.is_lost() {
        for session in built.context.sessions.all() {
            let stays = session.tls.is_some() || session.pinned().is_some();
            if !stays && session.mode != PoolMode::Session {
                session.signal(Signal::Depart);
            }
        }
        sleep(MOVE).await;
    }
}

fn unexpected() -> String {
    "the new process says something else than what is expected; restart pgvalet instead".to_owned()
}
