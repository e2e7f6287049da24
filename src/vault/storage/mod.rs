//! Where the rows of a store are: the one place that knows SQL, and which database
//! it is in.
//!
//! The vault's rules work on [`Rows`], a transaction with a typed operation for each
//! statement that they need (`rows`). What differs between the databases is how a
//! store is opened and made, how transactions begin and end, and how the commits of
//! other processes are noticed: [`sqlite`].

mod cell;
mod error;
mod location;
mod rows;
mod sqlite;

use parking_lot::{Mutex, MutexGuard};

pub use error::StorageError;
pub use location::Location;
pub use rows::{NewSecret, PageOf, PrincipalRow, Rows, SealedRow, SealedTable};
pub use sqlite::{Copied, Older, backup, restore, with_suffix};

use super::envelope::Sealed;
use super::key::Key;
use super::{KeySource, OpenError, VaultError};

/// How many connections that read stay open. More are opened while more read at once.
const KEPT: usize = 8;

/// A store that was opened.
pub struct Opened {
    pub storage: Storage,
    pub master: Key,
    /// The key check as it stands in the store.
    pub key_check: Sealed,
}

/// Opens the store, and makes it and its key if there is nothing yet.
pub fn open(location: &Location, source: &KeySource) -> Result<Opened, OpenError> {
    match location {
        Location::File(path) => sqlite::open(path, source),
    }
}

/// Connects to a store that is there, for work on all of it.
pub fn connect(location: &Location) -> Result<Storage, OpenError> {
    match location {
        Location::File(path) => sqlite::connect(path)
            .map(|connection| Storage::new(location.clone(), Connection::Sqlite(connection))),
    }
}

/// A connection to a store.
pub enum Connection {
    Sqlite(rusqlite::Connection),
}

impl Connection {
    /// Begins a transaction that only reads, all of it at one moment.
    pub fn reading(&mut self) -> Result<Rows<'_>, StorageError> {
        match self {
            Self::Sqlite(connection) => sqlite::reading(connection).map(Rows::Sqlite),
        }
    }

    /// Begins a transaction that writes. Nobody else writes until it ends, so that what
    /// it reads is still true when it commits.
    pub fn writing(&mut self) -> Result<Rows<'_>, StorageError> {
        match self {
            Self::Sqlite(connection) => sqlite::writing(connection).map(Rows::Sqlite),
        }
    }
}

/// The connections of this process to a store.
pub struct Storage {
    location: Location,
    /// Closed before `writer`: SQLite removes its log when the last one that may write
    /// closes.
    readers: Mutex<Vec<Connection>>,
    writer: Mutex<Connection>,
}

impl Storage {
    fn new(location: Location, writer: Connection) -> Self {
        Self {
            location,
            readers: Mutex::default(),
            writer: Mutex::new(writer),
        }
    }

    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Lends a connection that reads. If `work` panics, the connection is closed.
    pub fn with_reader<T, E: From<VaultError>>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let idle = self.readers.lock().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.connect_reader().map_err(VaultError::from)?,
        };
        let result = work(&mut connection);
        let mut idle = self.readers.lock();
        if idle.len() < KEPT {
            idle.push(connection);
        }
        result
    }

    fn connect_reader(&self) -> Result<Connection, StorageError> {
        match &self.location {
            Location::File(path) => Ok(Connection::Sqlite(sqlite::connect_reader(path)?)),
        }
    }

    /// Lends the connection that writes.
    pub fn with_writer<T, E>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        work(&mut self.writer.lock())
    }

    /// The connection that writes. A panic in the middle of a transaction rolls that
    /// back and leaves the connection usable.
    pub fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock()
    }

    /// A number that changes when somebody else has committed.
    pub fn others_commits(&self) -> Result<i64, StorageError> {
        match &*self.writer() {
            Connection::Sqlite(connection) => Ok(sqlite::data_version(connection)?),
        }
    }

    /// Removes what the database itself keeps of rows as they were before.
    pub fn forget_old_rows(&self) {
        match &*self.writer() {
            Connection::Sqlite(connection) => sqlite::truncate_log(connection),
        }
    }
}

/// A store in memory, for tests of the rules.
#[cfg(test)]
pub fn in_memory() -> Opened {
    sqlite::in_memory()
}
