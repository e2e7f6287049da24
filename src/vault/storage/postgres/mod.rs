//! A store in a schema of a PostgreSQL database, which several replicas of pgvalet
//! share.
//!
//! * `url`       where it is, and how pgvalet logs in there (`password`, `tls`)
//! * `endpoint`  connecting; the connections live on a thread of their own (`reactor`)
//! * `layout`    making and upgrading the schema
//! * `session`   transactions
//! * `listen`    noticing what others commit

mod cell;
mod endpoint;
mod error;
mod layout;
mod listen;
mod password;
mod reactor;
mod session;
mod tls;
mod url;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

pub use error::ServerError;
pub use session::{Connection, Transaction};
pub use url::ServerUrl;

use super::{Connection as Open, Location, Opened, Storage, StorageError};
use crate::vault::{KeySource, OpenError};
use endpoint::Endpoint;

/// Opens the store, and makes it and its key if there is nothing yet.
pub fn open(url: &Arc<ServerUrl>, source: &KeySource) -> Result<Opened, OpenError> {
    let location = Location::Server(url.clone());
    let connection = session(url, &location)?;
    let (master, key_check) = layout::prepare(&connection, &location, source)?;
    let last = connection.last_commit().map_err(|e| e.at(&location))?;
    connection
        .endpoint()
        .last_commit
        .store(last, Ordering::SeqCst);
    Ok(Opened {
        storage: Storage::new(location, Open::Postgres(connection)),
        master,
        key_check,
    })
}

/// Connects to a store that is there.
pub fn connect(url: &Arc<ServerUrl>) -> Result<Option<Storage>, OpenError> {
    let location = Location::Server(url.clone());
    let connection = session(url, &location)?;
    let there = layout::look(&connection, &location)?;
    Ok(there.then(|| Storage::new(location, Open::Postgres(connection))))
}

fn session(url: &ServerUrl, location: &Location) -> Result<Connection, OpenError> {
    let at = |e: StorageError| e.at(location);
    let endpoint = Endpoint::new(url).map_err(|e| at(e.into()))?;
    let connection = Connection::open(endpoint).map_err(at)?;
    let encoding = connection.query("SELECT current_setting('server_encoding')", &[]);
    let encoding = encoding.map_err(at)?.into_iter().next();
    let encoding: Option<String> = encoding.map(|mut row| row.read()).transpose().map_err(at)?;
    match encoding.as_deref() {
        Some("UTF8") => Ok(connection),
        _ => Err(at(ServerError::Encoding.into())),
    }
}

/// What the connections of this process to a store have in common.
pub struct Remote {
    endpoint: Arc<Endpoint>,
    listening: AbortHandle,
}

impl Connection {
    /// Begins to notice the commits of others.
    pub fn remote(&self) -> Remote {
        let endpoint = self.endpoint().clone();
        let listening = endpoint
            .reactor
            .handle()
            .spawn(listen::follow(endpoint.clone()));
        Remote {
            listening: listening.abort_handle(),
            endpoint,
        }
    }
}

impl Remote {
    pub fn connect(&self) -> Result<Connection, StorageError> {
        Connection::open(self.endpoint.clone())
    }

    /// How often commits of others were noticed.
    pub fn others_commits(&self) -> i64 {
        self.endpoint.noticed.load(Ordering::SeqCst)
    }

    pub fn notice(&self) -> Arc<Notify> {
        self.endpoint.notice.clone()
    }
}

/// The task has a part of the endpoint, and would keep its thread.
impl Drop for Remote {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// The channel on which commits are told.
fn channel(schema: &str) -> String {
    // Cut where PostgreSQL would refuse the name; a message too many does no harm.
    let mut name = format!("pgvalet {schema}");
    while name.len() > 63 {
        name.pop();
    }
    name
}
