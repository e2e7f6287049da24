//! Wiring: builds all parts from a validated configuration, accepts, reloads, drains, and
//! ends.
//!
//! * `accept`    the accept loop of a listener
//! * `admin`     the admin listener
//! * `build`     builds all parts
//! * `descriptors` how they are shared out
//! * `listen`    the options of `[listen]` as the listeners need them
//! * `metrics`   how things stand, for the metrics
//! * `pools`     the pools, whatever reloads change
//! * `operations` what the console asks of the proxy
//! * `reload`    puts a new configuration into force
//! * `revoke`    ends sessions whose access has ended
//! * `rotation`  the rotations that the proxy does itself
//! * `status`    the answers of the admin listener
//! * `store`     the secret store
//! * `trouble`   what is wrong, in words
//! * `watch`     drain deadlines, sessions that can move, limits of sessions

mod accept;
mod admin;
mod build;
mod descriptors;
mod error;
mod listen;
mod metrics;
mod operations;
mod pools;
mod reload;
mod revoke;
mod rotation;
mod status;
mod store;
mod trouble;
mod watch;

pub use error::ServerError;
pub use store::{open_store, open_store_with};

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch as tokio_watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{info, warn};

use crate::admin::{Operations, Reloaded, Status, StatusSource, Stop};
use crate::config::Config;
use crate::net::PassedSockets;
use crate::session::{Context, Signal};
use build::Built;

/// How long pools may take to close their connections, and the audit log to write its last
/// records.
const GOODBYE: Duration = Duration::from_secs(5);

/// A running proxy.
pub struct Proxy {
    built: Arc<Built>,
    /// Becomes true when no more clients are accepted.
    closing: tokio_watch::Sender<bool>,
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
        let (closing, closed) = tokio_watch::channel(false);
        let (built, listeners, admin, door) = Built::new(config, passed).await?;
        for listener in listeners {
            info!("listening on {}", listener.address());
            tokio::spawn(accept::accept(
                listener,
                built.context.clone(),
                built.descriptors.clone(),
                closed.clone(),
            ));
        }
        if let Some(admin) = admin {
            admin.start(&built, closed.clone());
        }
        if let Some(door) = door {
            door.start(closed.clone());
        }
        tokio::spawn(watch::watch(Arc::downgrade(&built)));
        tokio::spawn(watch::migrate(Arc::downgrade(&built)));
        rotation::apply(&built);
        tokio::spawn(trouble::watch(Arc::downgrade(&built)));
        tokio::spawn(revoke::watch(Arc::downgrade(&built)));
        tokio::spawn(Context::watch_denials(Arc::downgrade(&built.context)));
        Ok(Self { built, closing })
    }

    /// Puts another configuration into force; which keys have changed, and when that takes
    /// effect.
    pub fn reload(&self, config: Config) -> Reloaded {
        reload::reload(&self.built, config)
    }

    /// Reads the configuration again from this file, when somebody asks for it.
    pub fn is_configured_by(&self, file: &Path) {
        let _ = self.built.file.set(file.to_owned());
    }

    /// Reads the configuration file again; which keys have changed, and what is doubtful in it.
    ///
    /// # Errors
    /// Why nothing has changed.
    pub fn reload_file(&self) -> Result<Reloaded, String> {
        self.built.clone().reload()
    }

    /// Waits until somebody asks for the proxy to stop, and, if that is what was asked for, until
    /// its clients have left.
    pub async fn is_to_stop(&self) {
        let mut asked = self.built.stop.subscribe();
        let stop = asked.wait_for(Option::is_some).await.ok();
        let stop = stop.and_then(|stop| *stop);
        if stop == Some(Stop::WhenClientsHaveLeft) {
            self.closing.send_replace(true);
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

    pub fn store(&self) -> &Arc<dyn crate::secret::SecretStore> {
        &self.built.store
    }

    pub fn status(&self) -> Status {
        self.built.status()
    }

    /// Stops accepting, and lets transactions finish for at most `shutdown_timeout`. Sessions
    /// between transactions end at once.
    pub async fn stop(&self) {
        self.built.health.stops();
        self.closing.send_replace(true);
        self.built.rotations.stop();
        let limit = self.built.state.lock().config.listen.shutdown_timeout;
        let deadline = Instant::now() + limit;
        let sessions = &self.built.context.sessions;
        sessions.dismiss(Signal::Shutdown);
        self.wait_until(deadline, || sessions.is_empty()).await;
        sessions.dismiss(Signal::Kill);
        let pools = self.built.all_pools();
        for pool in &pools {
            pool.shut();
        }
        let deadline = Instant::now() + GOODBYE;
        self.wait_until(deadline, || {
            sessions.is_empty() && pools.iter().all(|p| p.is_empty())
        })
        .await;
        self.built.context.summarize_denials();
        // Standard output may be a pipe that nobody reads.
        let closed = timeout(GOODBYE, self.built.context.audit.clone().close());
        if closed.await.is_err() {
            warn!("the audit log could not be written to its end in time");
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
