//! Wiring: builds all parts from a validated configuration, accepts, reloads, drains, and
//! ends.
//!
//! * `accept`    the accept loop of a listener
//! * `admin`     the admin listener
//! * `bound`     the addresses, bound before anything else is opened
//! * `build`     builds all parts
//! * `canary`    its pools try a new version before the other replicas use it
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
//! * `stop`      how the proxy comes to an end
//! * `store`     opens a secret store
//! * `stores`    all of them, and where they are served
//! * `trouble`   what is wrong, in words
//! * `watch`     drain deadlines, sessions that can move, limits of sessions

mod accept;
mod admin;
mod bound;
mod build;
mod canary;
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
mod stop;
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
use tracing::info;

use crate::admin::{Operations, Reloaded, Status, StatusSource};
use crate::config::Config;
use crate::net::PassedSockets;
use crate::secret::Stores;
use crate::session::Context;
use crate::telemetry::{self, Telemetry};
use build::{Built, Doors};
use sockets::Sockets;
use upgrade::message::Message;

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

    /// Does what [`start`](Self::start) does, with sockets that systemd has opened for some
    /// addresses.
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

    /// Does what [`start`](Self::start) does, in the place of the process that has started this
    /// one. If it fails, that process goes on.
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

    pub fn context(&self) -> &Arc<Context> {
        &self.built.context
    }

    pub fn stores(&self) -> &Stores {
        &self.built.stores.stores
    }

    pub fn status(&self) -> Status {
        self.built.status()
    }
}
