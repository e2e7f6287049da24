//! What the console and the admin listener ask of a running proxy.

use std::future::{Future, ready};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ClientView, Reloaded, StatusSource};
use crate::pool::Pool;
use crate::session::{Context, SwitchesSet};

/// A running proxy, for those who look at it and steer it.
pub trait Operations: StatusSource {
    /// Its sessions, rules and pools.
    fn context(&self) -> &Arc<Context>;

    /// All pools that have sessions or may get one.
    fn pools(&self) -> Vec<Arc<Pool>>;

    fn started_at(&self) -> SystemTime;

    /// The clients that are still served by the process before this one.
    fn others(&self) -> Others {
        Box::pin(ready(Vec::new()))
    }

    /// Has the process before this one do the same for the clients that it still serves.
    fn steer_others(&self, _steer: Steer) {}

    /// The keys of the configuration in force.
    fn settings(&self) -> Vec<Setting>;

    /// The newest records of the audit log, the newest last.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn records(&self, most: usize) -> Result<Vec<Value>, String>;

    /// Changes a setting until the next restart or reload; what there is to say of that.
    ///
    /// # Errors
    /// Why it was not changed.
    fn set(&self, key: &str, value: &str) -> Result<String, String>;

    /// Reads the configuration file again; what has changed, and what is doubtful in it.
    ///
    /// # Errors
    /// Why nothing has changed.
    fn reload(self: Arc<Self>) -> Reload;

    /// Rotates a secret now; the version that is AWSCURRENT then.
    ///
    /// # Errors
    /// Why it was not rotated.
    fn rotate(self: Arc<Self>, secret: String) -> Rotation;

    /// Approves of the next rotation that the schedule of a secret starts; when that is.
    ///
    /// # Errors
    /// Why there is nothing to approve of.
    fn approve(&self, secret: &str) -> Result<String, String>;

    /// Replaces this process by a new one that runs `binary`, or the program by whose name this
    /// one was started, and that is ready within `limit`; which one that is.
    ///
    /// # Errors
    /// Why it was not replaced.
    fn upgrade(self: Arc<Self>, binary: Option<PathBuf>, limit: Duration) -> Upgrade;

    /// Stops the proxy.
    fn stop(&self, when: Stop);
}

pub type Others = Pin<Box<dyn Future<Output = Vec<ClientView>> + Send>>;
pub type Reload = Pin<Box<dyn Future<Output = Result<Reloaded, String>> + Send>>;

pub type Rotation = Pin<Box<dyn Future<Output = Result<Arc<str>, String>> + Send>>;

pub type Upgrade = Pin<Box<dyn Future<Output = Result<String, String>> + Send>>;

/// What holds for the clients of the process before this one too.
#[derive(Serialize, Deserialize)]
pub enum Steer {
    /// Databases are paused and disabled like this.
    Switches(SwitchesSet),
    /// The clients of a database end, or all.
    Kill(Option<Arc<str>>),
    /// The client ends whose session has this id.
    KillClient(u64),
    /// The server connections of a database are made anew, or all.
    Reconnect(Option<Arc<str>>),
}

/// When the proxy stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Transactions may finish, for `[listen] shutdown_timeout`.
    Now,
    /// No client is accepted any more, and those that are there are waited for.
    WhenClientsHaveLeft,
}

/// A key of the configuration, and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// With its table: `listen.address`, `database.orders.pool_size`.
    pub key: String,
    pub value: String,
    /// What holds where it is not written; empty if nothing does.
    pub default: String,
    /// Whether a reload changes it.
    pub changeable: bool,
}
