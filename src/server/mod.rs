//! Wiring: builds all parts from a validated configuration, accepts, reloads, drains, and
//! ends.
//!
//! * `accept`    the accept loop of a listener
//! * `admin`     the admin listener
//! * `build`     builds all parts
//! * `descriptors` how they are shared out
//! * `fleet`     this replica among the others
//! * `listen`    the options of `[listen]` as the listeners need them
//! * `metrics`   how things stand, for the metrics
//! * `pools`     the pools, whatever reloads change
//! * `operations` what the console asks of the proxy
//! * `reload`    puts a new configuration into force
//! * `sockets`   the listening sockets, given and own
//! * `upgrade`   replaces the process by another one
//! * `revoke`    ends sessions whose access has ended
//! * `rotation`  the rotations that the proxy does itself
//! * `status`    the answers of the admin listener
//! * `store`     opens a secret store
//! * `stores`    all of them, and where they are served
//! * `trouble`   what is wrong, in words
//! * `watch`     drain deadlines, sessions that can move, limits of sessions

mod accept;
mod admin;
mod build;
mod descriptors;
mod error;
mod fleet;
mod listen;
mod metrics;
mod operations;
mod pools;
mod reload;
mod revoke;
mod rotation;
mod sockets;
mod status;
mod store;
mod stores;
mod trouble;
mod upgrade;
mod watch;

pub use error::ServerError;
pub use store::{open_store_with, open_stores};
pub use upgrade::Predecessor;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{info, warn};

use crate::admin::{Operations, Reloaded, Status, StatusSource, Stop};
use crate::config::Config;
use crate::net::PassedSockets;
use crate::secret::Stores;
use crate::session::{Context, Signal};
use crate::telemetry::{self, Telemetry};
use build::{Built, Doors};
use sockets::Sockets;
use upgrade::message::Message;

/// How long pools may take to close their connections, and the audit log to write its last
/// records.
const GOODBYE: Duration = Duration::from_secs(5);

/// A running proxy.
pub struct Proxy {
    built: Arc<Built>,
    /// What accepts clients.
    accepting: Mutex<JoinSet<()>>,
    telemetry: OnceLock<Telemetry>,
}

impl Proxy {
    /// Opens the store and the log, binds every address, and starts to accept.
    ///
    /// # Errors
    /// [`ServerError`]: one sentence that names the place and the remedy.
    pub async fn start(config: Config) -> Result<Self, ServerError> {
        Self::start_with(config, PassedSockets::default()).await
    }

    /// As [`start`](Self::start), with sockets that systemd has opened for some addresses.
    ///
    /// # Errors
    /// As `start`, and for a socket that no address of the configuration uses.
    pub async fn start_with(config: Config, passed: PassedSockets) -> Result<Self, ServerError> {
        let sockets = Sockets {
            clients: passed,
            ..Sockets::default()
        };
        let (built, doors) = Built::new(config, sockets, None).await?;
        Ok(Self::open(built, doors))
    }

    /// As [`start`](Self::start), in the place of the process that has started this one. If it
    /// fails, that process goes on.
    ///
    /// # Errors
    /// As `start`, and where a database does not work that works in the other process.
    pub async fn take_over(config: Config, before: &Predecessor) -> Result<Self, ServerError> {
        let (before, sockets) = before.meet().await?;
        let (built, doors) = Built::new(config, sockets, Some(&before)).await?;
        let link = before.prepare(&built).await?;
        let proxy = Self::open(built, doors);
        proxy.built.open.own();
        link.tell(&Message::Ready);
        Ok(proxy)
    }

    /// Starts to accept.
    fn open(built: Arc<Built>, doors: Doors) -> Self {
        let closed = built.closing.subscribe();
        let mut accepting = JoinSet::new();
        for listener in doors.clients {
            info!("listening on {}", listener.address());
            accepting.spawn(accept::accept(
                listener,
                built.context.clone(),
                built.descriptors.clone(),
                closed.clone(),
            ));
        }
        if let Some(admin) = doors.admin {
            admin.start(&built, built.ended.subscribe());
        }
        if let Some(joined) = doors.fleet {
            joined.start(&built, built.ended.subscribe());
        }
        built.stores.start();
        tokio::spawn(watch::watch(Arc::downgrade(&built)));
        tokio::spawn(watch::migrate(Arc::downgrade(&built)));
        tokio::spawn(watch::summarize(Arc::downgrade(&built)));
        rotation::apply(&built);
        tokio::spawn(trouble::watch(Arc::downgrade(&built)));
        tokio::spawn(revoke::watch(Arc::downgrade(&built)));
        tokio::spawn(Context::watch_denials(Arc::downgrade(&built.context)));
        Self {
            built,
            accepting: Mutex::new(accepting),
            telemetry: OnceLock::new(),
        }
    }

    /// Replaces this process by a new one that runs `binary`, or the program by whose name this
    /// one was started; says which. It has to be ready within `limit`.
    ///
    /// # Errors
    /// Why it was not replaced. It goes on as before then.
    pub fn upgrade(
        &self,
        binary: Option<PathBuf>,
        limit: Duration,
    ) -> impl Future<Output = Result<String, String>> + Send + use<> {
        upgrade::upgrade(self.built.clone(), binary, limit)
    }

    /// Waits until another process serves in place of this one; its pid.
    pub async fn is_handed_over(&self) -> u32 {
        self.built.upgrades.handed_over().await
    }

    /// Waits until the sessions have ended that have stayed here, no longer than
    /// `upgrade_timeout`.
    pub async fn drain(&self) {
        let mut accepting = std::mem::take(&mut *self.accepting.lock());
        while accepting.join_next().await.is_some() {}
        let limit = self.built.state.lock().config.listen.upgrade_timeout;
        let deadline = Instant::now() + limit;
        let unused = || self.built.descriptors.are_unused();
        tokio::select! {
            () = self.wait_until(deadline, unused) => {}
            () = self.built.upgrades.asked_to_stop() => {}
        }
    }

    /// Puts another configuration into force; which keys have changed, and when that takes
    /// effect.
    ///
    /// # Errors
    /// A store that is new cannot be opened. Nothing has changed.
    pub async fn reload(&self, config: Config) -> Result<Reloaded, String> {
        let _one = self.built.reloading.lock().await;
        reload::reload(&self.built, config).await
    }

    /// Reads the configuration again from this file, when somebody asks for it.
    pub fn is_configured_by(&self, file: &Path) {
        let _ = self.built.file.set(file.to_owned());
    }

    /// Sends traces and metrics to a collector from now on.
    ///
    /// # Errors
    /// It can never be reached as the options say.
    pub fn export(&self, options: &telemetry::Options) -> Result<(), String> {
        let built = Arc::downgrade(&self.built);
        let publish = move || {
            if let Some(built) = built.upgrade() {
                built.publish();
            }
        };
        let telemetry = Telemetry::start(options, &self.built.metrics, Arc::new(publish))?;
        if let Some(traces) = telemetry.traces() {
            let _ = self.built.context.traces.set(traces.clone());
            let _ = self.built.journal.traces.set(traces.clone());
        }
        let _ = self.telemetry.set(telemetry);
        Ok(())
    }

    /// Reads the configuration file again; which keys have changed, and what is doubtful in it.
    ///
    /// # Errors
    /// Why nothing has changed.
    pub fn reload_file(&self) -> impl Future<Output = Result<Reloaded, String>> + Send + use<> {
        self.built.clone().reload()
    }

    /// Waits until somebody asks for the proxy to stop, and, if that is what was asked for, until
    /// its clients have left.
    pub async fn is_to_stop(&self) {
        let mut asked = self.built.stop.subscribe();
        let stop = asked.wait_for(Option::is_some).await.ok();
        let stop = stop.and_then(|stop| *stop);
        if stop == Some(Stop::WhenClientsHaveLeft) {
            self.built.close();
            info!("no more clients are accepted; those that are there are waited for");
            let sessions = &self.built.context.sessions;
            while !sessions.all().is_empty() {
                sleep(Duration::from_millis(100)).await;
            }
        }
    }

    pub fn context(&self) -> &Arc<Context> {
        &self.built.context
    }

    pub fn stores(&self) -> &Stores {
        &self.built.stores.stores
    }

    pub fn status(&self) -> Status {
        self.built.status()
    }

    /// Says that the proxy stops, and goes on for `drain_delay`. Then stops accepting, and lets
    /// transactions finish for at most `shutdown_timeout`. Sessions between transactions end at
    /// once. The admin listener answers until they have ended.
    pub async fn stop(&self) {
        let built = &self.built;
        built.health.stops();
        built.upgrades.tell_before(&Message::Stop);
        let listen = built.state.lock().config.listen.clone();
        if !built.upgrades.is_handed_over() {
            sleep(listen.drain_delay).await;
        }
        built.close();
        built.rotations.stop();
        let deadline = Instant::now() + listen.shutdown_timeout;
        let sessions = &built.context.sessions;
        sessions.dismiss(Signal::Shutdown);
        self.wait_until(deadline, || sessions.is_empty()).await;
        sessions.dismiss(Signal::Kill);
        built.ended.send_replace(true);
        let pools = built.all_pools();
        for pool in &pools {
            pool.shut();
        }
        let deadline = Instant::now() + GOODBYE;
        self.wait_until(deadline, || {
            sessions.is_empty() && pools.iter().all(|p| p.is_empty())
        })
        .await;
        built.context.summarize_denials();
        // Standard output may be a pipe that nobody reads.
        let closed = timeout(GOODBYE, built.context.audit.clone().close());
        if closed.await.is_err() {
            warn!("the audit log could not be written to its end in time");
        }
        let _ = timeout(GOODBYE, built.upgrades.say_goodbye()).await;
        if let Some(telemetry) = self.telemetry.get() {
            telemetry.close().await;
        }
    }

    async fn wait_until(&self, deadline: Instant, done: impl Fn() -> bool) {
        while !done() {
            if timeout_at(deadline, sleep(Duration::from_millis(10)))
                .await
                .is_err()
            {
                return;
            }
        }
    }
}
