//! Whether this process is being replaced, or has replaced another one.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::link::Link;
use super::message::Message;
use crate::admin::{Others, Steer};
use crate::server::build::Built;

/// What a process knows of its upgrades.
#[derive(Default)]
pub struct Upgrades {
    standing: Arc<Mutex<Standing>>,
    /// The pid of the process that serves instead of this one.
    successor: watch::Sender<Option<u32>>,
    /// The process that serves instead of this one asks it to stop.
    pub(super) stop: Notify,
}

#[derive(Default)]
enum Standing {
    #[default]
    Alone,
    UnderWay,
    /// Another process serves.
    HandedOver(Arc<Link>),
    /// The process before this one still has sessions.
    Follows(Arc<Link>),
}

/// The one upgrade that is under way. If it is dropped, it has failed.
pub struct Turn(Arc<Mutex<Standing>>, watch::Sender<Option<u32>>);

impl Upgrades {
    /// # Errors
    /// This process cannot be replaced now.
    pub(super) fn begin(&self, built: &Built) -> Result<Turn, String> {
        if std::process::id() == 1 {
            return Err("pgvalet is the first process of its container, which ends with it; replace the container instead".to_owned());
        }
        if built.health.is_stopping() {
            return Err("the proxy is stopping".to_owned());
        }
        let mut standing = self.standing.lock();
        match &*standing {
            Standing::Alone => {
                *standing = Standing::UnderWay;
                Ok(Turn(self.standing.clone(), self.successor.clone()))
            }
            Standing::UnderWay => Err("an upgrade is under way already".to_owned()),
            Standing::HandedOver(_) => Err("another process serves already".to_owned()),
            Standing::Follows(_) => Err(
                "the process before this one still has sessions; wait until they end, or end it with SIGTERM"
                    .to_owned(),
            ),
        }
    }

    /// The process before this one still has sessions.
    pub(super) fn follows(&self, link: &Arc<Link>) {
        let mut standing = self.standing.lock();
        // It may have ended meanwhile, and that was noticed before this.
        if !link.is_lost() {
            *standing = Standing::Follows(link.clone());
        }
    }

    /// The process before this one has ended.
    pub(super) fn is_alone(&self) {
        *self.standing.lock() = Standing::Alone;
    }

    /// Waits until another process serves; its pid.
    pub async fn handed_over(&self) -> u32 {
        let mut successor = self.successor.subscribe();
        let found = successor.wait_for(Option::is_some).await;
        found.ok().and_then(|pid| *pid).unwrap_or_default()
    }

    pub fn is_handed_over(&self) -> bool {
        self.successor.borrow().is_some()
    }

    /// Waits until the process that serves asks this one to stop.
    pub async fn asked_to_stop(&self) {
        self.stop.notified().await;
    }

    /// The clients that the process before this one serves.
    pub fn clients_before(&self) -> Others {
        match &*self.standing.lock() {
            Standing::Follows(link) => link.list(),
            _ => Box::pin(ready(Vec::new())),
        }
    }

    /// Tells the process before this one, if it is still there.
    pub fn tell_before(&self, message: &Message) {
        if let Standing::Follows(link) = &*self.standing.lock() {
            link.tell(message);
        }
    }

    /// Has the process before this one do what an administrator does here, if it is still there
    /// and of a version that does so.
    pub fn steer_before(&self, steer: Steer) {
        if let Standing::Follows(link) = &*self.standing.lock()
            && link.steers.load(Ordering::Relaxed)
        {
            link.tell(&Message::Steer(steer));
        }
    }

    /// Tells the process that serves that all server connections are closed. Waits until
    /// that is written.
    pub async fn say_goodbye(&self) {
        let link = match &*self.standing.lock() {
            Standing::HandedOver(link) => link.clone(),
            _ => return,
        };
        link.tell(&Message::Goodbye);
        let _ = link.flush().await; // that process sees the end as well
    }
}

impl Turn {
    pub(super) fn handed_over(self, pid: u32, link: Arc<Link>) {
        *self.0.lock() = Standing::HandedOver(link);
        self.1.send_replace(Some(pid));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut standing = self.0.lock();
        if matches!(*standing, Standing::UnderWay) {
            *standing = Standing::Alone;
        }
    }
}
