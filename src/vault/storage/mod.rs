//! Where the rows of a store are: the one place that knows SQL, and which database
//! it is in.
//!
//! The vault's rules work on [`Rows`], a transaction with a typed operation for each
//! statement that they need (`rows`). What differs between the databases is how a
//! store is opened and made, how transactions begin and end, and how the commits of
//! other processes are noticed: [`sqlite`], [`postgres`].

mod cell;
mod error;
mod location;
mod postgres;
mod rows;
mod sqlite;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

pub use error::StorageError;
pub use location::Location;
pub use postgres::{ServerError, ServerUrl};
pub use rows::{Everything, NewSecret, PageOf, PrincipalRow, Rows, SealedRow, SealedTable};
pub use sqlite::{Copied, Older, backup, restore, with_suffix};

use super::envelope::Sealed;
use super::key::Key;
use super::{KeySource, OpenError, VaultError};

/// How many connections that read stay open. More are opened while more read at once.
const KEPT: usize = 8;
/// How many operations wait for a server at once.
const TURNS: usize = 16;
/// How long a write waits for those of this process that go to a server before it.
const PATIENCE: Duration = Duration::from_secs(10);

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
        Location::Server(url) => postgres::open(url, source),
    }
}

/// Connects to a store, for work on all of it. `None`: there is none yet.
pub fn connect(location: &Location) -> Result<Option<Storage>, OpenError> {
    match location {
        Location::File(path) if !path.exists() => Ok(None),
        Location::File(path) => {
            let connection = Connection::Sqlite(sqlite::connect(path)?);
            Ok(Some(Storage::new(location.clone(), connection)))
        }
        Location::Server(url) => postgres::connect(url),
    }
}

/// Whether there is a store. Nothing is made.
///
/// # Errors
/// [`OpenError`]: its server cannot be asked.
pub fn exists(location: &Location) -> Result<bool, OpenError> {
    match location {
        Location::File(path) => path.try_exists().map_err(|source| OpenError::Io {
            doing: "look for",
            path: path.clone(),
            source,
        }),
        // Commands ask from where nothing may wait for another runtime.
        Location::Server(url) => thread::scope(|scope| {
            let asked = scope.spawn(|| postgres::connect(url).map(|store| store.is_some()));
            asked.join().unwrap_or_else(|_| {
                let how = "asking its server did not end well".to_owned();
                Err(OpenError::Unfinished(location.clone(), how))
            })
        }),
    }
}

/// A connection to a store.
pub enum Connection {
    Sqlite(rusqlite::Connection),
    Postgres(postgres::Connection),
}

impl Connection {
    /// Begins a transaction that only reads, all of it at one moment.
    pub fn reading(&mut self) -> Result<Rows<'_>, StorageError> {
        match self {
            Self::Sqlite(connection) => sqlite::reading(connection).map(Rows::Sqlite),
            Self::Postgres(connection) => connection.reading().map(Rows::Postgres),
        }
    }

    /// Begins a transaction that writes. Nobody else writes until it ends, so that what
    /// it reads is still true when it commits.
    pub fn writing(&mut self) -> Result<Rows<'_>, StorageError> {
        match self {
            Self::Sqlite(connection) => sqlite::writing(connection).map(Rows::Sqlite),
            Self::Postgres(connection) => connection.writing().map(Rows::Postgres),
        }
    }

    /// Whether another transaction can begin on it.
    fn is_usable(&self) -> bool {
        match self {
            Self::Sqlite(_) => true,
            Self::Postgres(connection) => connection.is_usable(),
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
    /// The server of a store on PostgreSQL: connects further readers, and notices what others
    /// commit.
    remote: Option<postgres::Remote>,
    /// How many may work on it at once; more wait without a thread.
    turns: Semaphore,
}

impl Storage {
    fn new(location: Location, writer: Connection) -> Self {
        Self {
            remote: match &writer {
                Connection::Sqlite(_) => None,
                Connection::Postgres(connection) => Some(connection.remote()),
            },
            turns: Semaphore::new(match &location {
                Location::File(_) => Semaphore::MAX_PERMITS,
                Location::Server(_) => TURNS,
            }),
            location,
            readers: Mutex::default(),
            writer: Mutex::new(writer),
        }
    }

    /// Waits for a turn. A server that has stopped must not take all the threads that may
    /// wait, which others need too.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
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
        if idle.len() < KEPT && connection.is_usable() {
            idle.push(connection);
        }
        result
    }

    fn connect_reader(&self) -> Result<Connection, StorageError> {
        match (&self.location, &self.remote) {
            (Location::File(path), _) => Ok(Connection::Sqlite(sqlite::connect_reader(path)?)),
            (_, Some(remote)) => Ok(Connection::Postgres(remote.connect()?)),
            (_, None) => Err(StorageError::Unexpected("a server without connections")),
        }
    }

    /// Lends the connection that writes.
    pub fn with_writer<T, E: From<VaultError>>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let lent = match self.remote {
            // A file answers, sooner or later.
            None => Some(self.writer.lock()),
            Some(_) => self.writer.try_lock_for(PATIENCE),
        };
        let late = || {
            VaultError::Busy("the writes before this one did not finish in time; try again".into())
        };
        work(&mut *lent.ok_or_else(late)?)
    }

    /// The connection that writes. A panic in the middle of a transaction rolls that
    /// back and leaves the connection usable.
    pub fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock()
    }

    /// A number that changes when somebody else has committed.
    pub fn others_commits(&self) -> Result<i64, StorageError> {
        if let Some(remote) = &self.remote {
            return Ok(remote.others_commits());
        }
        match &*self.writer() {
            Connection::Sqlite(connection) => Ok(sqlite::data_version(connection)?),
            Connection::Postgres(_) => {
                Err(StorageError::Unexpected("a server without connections"))
            }
        }
    }

    /// What tells at once that [`Self::others_commits`] has changed, if anything does.
    pub fn notice(&self) -> Option<Arc<Notify>> {
        self.remote.as_ref().map(postgres::Remote::notice)
    }

    /// Removes what the database itself keeps of rows as they were before.
    pub fn forget_old_rows(&self) {
        match &*self.writer() {
            Connection::Sqlite(connection) => sqlite::truncate_log(connection),
            // Vacuum removes them, and the server's own log its segments.
            Connection::Postgres(_) => {}
        }
    }
}

/// A store in memory, for tests of the rules.
#[cfg(test)]
pub fn in_memory() -> Opened {
    sqlite::in_memory()
}
