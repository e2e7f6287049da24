//! The configuration as the program uses it: every value present, checked and
//! of a type that cannot be wrong.
//!
//! * `keys`       every key: what may be written, its default, its meaning
//! * `section`    the file as written; `read` takes values out of it
//! * `changes`    what differs between two files, and when that takes effect
//! * `validate`   turns a `section` into a [`Config`], with a file for each table
//! * `settings`   the keys with their values, to be shown
//! * `warnings`   what a file may say, but is seldom meant
//! * `reference`  docs/CONFIGURATION.md
//! * `schema`     the JSON Schema of the file
//!
//! A relative path begins in the directory of the file that it stands in. Defaults stand in no
//! file: they begin in the directory that pgvalet is started in.

mod address;
mod admin;
mod administrators;
mod audit_log;
mod aws_iam;
mod changes;
mod database;
mod drain;
mod error;
mod fleet;
mod keys;
mod listen;
mod problems;
mod read;
mod reference;
mod rotation;
mod rules;
mod schema;
mod section;
mod settings;
mod store;
mod stores;
#[cfg(test)]
mod tests;
mod token;
mod twice;
mod validate;
mod validity;
mod values;
mod vault;
mod warnings;

pub use changes::{Change, Written, definitions};
pub use error::{ConfigError, ConfigErrors, Problem};
pub use keys::Effect;
pub use reference::reference;
pub use schema::schema;
pub use settings::{Setting, in_force};
pub use store::{Needed, Store, StoreKind};
pub use stores::Stores;
pub use validate::{load, load_in_part, parse};
pub use warnings::warnings;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::access::{Rule, UserRef};
use crate::admin::AdminAddress;
use crate::audit;
use crate::net::{ClientCa, ListenAddress};
use crate::pool::Database;
use crate::rotation::{AdminSecrets, Rotation};
use crate::secret::SecretId;
use crate::session::{Guard, Reception, Revoke};

/// What a file without mistakes says.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub listen: Listen,
    pub admin: Admin,
    pub stores: Stores,
    pub audit: audit::Options,
    /// `[database.NAME]`, by the name clients ask for.
    pub databases: BTreeMap<Arc<str>, Arc<Database>>,
    /// How pgvalet rotates the secrets of databases, by the names of these. The secrets of other
    /// databases are only followed.
    pub rotations: BTreeMap<Arc<str>, Rotation>,
    /// `[[client]]`, in the order of the file: the first match decides.
    pub clients: Vec<Arc<Rule>>,
    /// The other replicas; `None`: there are none.
    pub fleet: Option<crate::fleet::Options>,
    /// How many threads move bytes, if that is not left to pgvalet.
    pub workers: Option<usize>,
    /// The keys of the configuration with their values, to be shown.
    pub settings: Arc<[Setting]>,
    /// The secrets that may change the roles of others.
    pub admin_secrets: Arc<AdminSecrets>,
    /// The values as they were written, or their defaults.
    pub written: Written,
}

impl Config {
    /// The file in which the proxy keeps the token that it makes for itself if `[admin]` names
    /// none: beside its other data. `None`: it keeps no data on this machine.
    pub fn admin_token_path(&self) -> Option<PathBuf> {
        let log = self.audit.sink.file();
        let mut stores = self.stores.iter();
        let store = stores.find_map(|(_, store)| store.kind.embedded()?.0.file());
        let data = log.or(store)?;
        Some(data.with_file_name("admin.token"))
    }

    /// How the secret of a database is rotated; `None`: pgvalet only follows it.
    pub fn rotation(&self, database: &Database) -> Option<&Rotation> {
        self.rotations.get(database.name())
    }

    /// How often a secret's version is looked up.
    pub fn refresh(&self, secret: &SecretId) -> Duration {
        let store = self.stores.of(secret);
        store.map_or(Duration::from_secs(60), |store| store.refresh)
    }

    /// Every database with every secret that a rule can lead to.
    pub fn uses(&self) -> Vec<(Arc<Database>, SecretId)> {
        let mut uses: Vec<(Arc<Database>, SecretId)> = self
            .databases
            .values()
            .map(|d| (d.clone(), d.secret.clone()))
            .collect();
        for client in &self.clients {
            let Some(secret) = &client.secret else {
                continue;
            };
            for database in client
                .databases
                .iter()
                .filter_map(|d| self.databases.get(d))
            {
                if !uses
                    .iter()
                    .any(|(d, s)| d.name() == database.name() && s == secret)
                {
                    uses.push((database.clone(), secret.clone()));
                }
            }
        }
        uses
    }
}

/// `[listen]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Listen {
    pub addresses: Vec<ListenAddress>,
    pub tls: ListenTls,
    pub max_clients: usize,
    pub reception: Reception,
    pub shutdown_timeout: Duration,
    /// How long clients are accepted after SIGTERM.
    pub drain_delay: Duration,
    /// How long a process that was replaced keeps its sessions.
    pub upgrade_timeout: Duration,
    /// Other processes may listen on the same TCP addresses.
    pub reuse_port: bool,
    /// The wait for a server connection after which a client is told what it waits for; zero:
    /// never.
    pub wait_notice: Duration,
    /// Permission bits of unix sockets.
    pub socket_mode: u32,
    /// The owner of unix sockets; `None`: that of the process.
    pub socket_owner: Option<UserRef>,
    /// The group of unix sockets; `None`: that of the process.
    pub socket_group: Option<UserRef>,
    /// `None`: clients are not asked for a certificate.
    pub client_ca: Option<ClientCa>,
    pub revoke: Revoke,
    pub guard: Guard,
    /// Whether rules may let in everybody by the address alone.
    pub allow_untrusted_networks: bool,
    /// The user that the process becomes if root starts it.
    pub user: Option<UserRef>,
}

/// Whether clients may, or must, use TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenTls {
    Off,
    Allow { certificate: PathBuf, key: PathBuf },
    Require { certificate: PathBuf, key: PathBuf },
}

/// `[admin]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Admin {
    /// `None`: `address = ""` switches the listener off.
    pub address: Option<AdminAddress>,
    /// A file with the bearer token that requests over TCP must show.
    pub token_file: Option<PathBuf>,
}
