//! The file of the store: creating and opening it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::draft::{Draft, make_parent};
use super::envelope::{self, Sealed};
use super::key::Key;
use super::keyring::{self, CHECK, CHECK_NAME, Found};
use super::layout::{self, LAYOUT};
use super::{KeySource, OpenError};

/// `PRAGMA application_id`: "pgvt".
const APPLICATION_ID: i64 = 0x7067_7674;
/// How long a transaction waits for another process to finish its own.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many prepared statements a connection keeps: more than there are.
const STATEMENTS: usize = 64;

/// What an open store consists of.
pub struct Opened {
    pub connection: Connection,
    pub master: Key,
    /// The key check as it stands in the file: see [`key_is_still`].
    pub key_check: Sealed,
    /// See [`data_version`].
    pub data_version: i64,
}

/// Opens the store at `path`, and creates it and its key if there is nothing yet.
pub fn open(path: &Path, source: &KeySource) -> Result<Opened, OpenError> {
    make_parent(path)?;
    if !exists(path)? {
        create(path, &source.read_or_create()?)?;
    } else if source.read()?.is_none() && source.read_next()?.is_none() {
        rekey_empty(path, source)?;
    }
    let mut connection = connect(path)?;
    let key_check = read_key_check(path, &connection)?;
    let master = match keyring::find(source, &key_check, path)? {
        Found::Current(master) => master,
        Found::Next(master) => {
            // A rekey was interrupted; this is its last step.
            source.promote_next()?;
            master
        }
    };
    // Upgraded only now, so that a store that cannot be read is not changed.
    layout::upgrade(&mut connection).map_err(|e| sqlite(path, e))?;
    let data_version = data_version(&connection).map_err(|e| sqlite(path, e))?;
    Ok(Opened {
        connection,
        master,
        key_check,
        data_version,
    })
}

/// Whether the store is still sealed under the key it was opened with. Every
/// transaction asks, because another process may change the key.
pub fn key_is_still(connection: &Connection, key_check: &Sealed) -> rusqlite::Result<bool> {
    Ok(select_key_check(connection)? == *key_check)
}

/// A number that changes when another connection, of this or of another
/// process, has committed.
pub fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "data_version", |row| row.get(0))
}

fn exists(path: &Path) -> Result<bool, OpenError> {
    match std::fs::metadata(path) {
        // A store appears as a whole file, so an empty file is one that was
        // truncated.
        Ok(m) if m.is_file() && m.len() == 0 => Err(OpenError::Damaged(
            path.to_owned(),
            "the file is empty".into(),
        )),
        Ok(m) if m.is_file() => Ok(true),
        Ok(_) => Err(OpenError::NotAStore(path.to_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(OpenError::Io {
            doing: "look at the store",
            path: path.to_owned(),
            source,
        }),
    }
}

/// Creates the whole store under a temporary name and then publishes it, unless
/// another process was faster.
fn create(path: &Path, master: &Key) -> Result<(), OpenError> {
    let wal = with_suffix(path, "-wal");
    // SQLite would replay an orphaned log into the new file.
    if wal.exists() && !path.exists() {
        return Err(OpenError::Damaged(
            path.to_owned(),
            format!(
                "the file is gone, but its log {} is still there",
                wal.display()
            ),
        ));
    }
    let draft = Draft::new(path)?;
    write_layout(&draft.path, master).map_err(|e| sqlite(path, e))?;
    draft.publish(path).map_err(|source| OpenError::Io {
        doing: "make the store",
        path: path.to_owned(),
        source,
    })?;
    Ok(())
}

fn write_layout(draft: &Path, master: &Key) -> rusqlite::Result<()> {
    let mut connection = Connection::open_with_flags(draft, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // Set once, here: changing it later can fail while others have the file open.
    connection.pragma_update(None, "journal_mode", "wal")?;
    configure(&connection)?;
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    layout::build(&tx, 0)?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    write_key_check(&tx, master)?;
    tx.commit()?;
    // Closing the last connection writes the log into the file and removes it.
    connection.close().map_err(|(_, e)| e)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)
}

pub fn connect(path: &Path) -> Result<Connection, OpenError> {
    connect_as(path, path)
}

/// Connects to `file`, which messages call `path`.
pub fn connect_as(file: &Path, path: &Path) -> Result<Connection, OpenError> {
    let at = |e| sqlite(path, e);
    let connection =
        Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(at)?;
    configure(&connection).map_err(at)?;
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    if number("application_id").map_err(at)? != APPLICATION_ID {
        return Err(OpenError::NotAStore(path.to_owned()));
    }
    let layout = number("user_version").map_err(at)?;
    if !(1..=LAYOUT).contains(&layout) {
        return Err(OpenError::Newer(path.to_owned(), layout, LAYOUT));
    }
    connection
        .pragma_update(None, "journal_mode", "wal")
        .map_err(at)?;
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(at)?;
    if verdict != "ok" {
        let first = verdict.lines().next().unwrap_or_default().to_owned();
        return Err(OpenError::Damaged(path.to_owned(), first));
    }
    Ok(connection)
}

/// A connection that only reads, to a store that is open already.
pub fn connect_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(connection)
}

/// Gives a store without values a new key. Its old key is gone, and sealed nothing.
fn rekey_empty(path: &Path, source: &KeySource) -> Result<(), OpenError> {
    let mut connection = connect(path)?;
    let at = |e| sqlite(path, e);
    layout::upgrade(&mut connection).map_err(at)?;
    let tx = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(at)?;
    let values: i64 = tx
        .query_row(
            "SELECT (SELECT count(value) FROM version) + (SELECT count(*) FROM access_key)",
            [],
            |row| row.get(0),
        )
        .map_err(at)?;
    if values > 0 {
        return Err(OpenError::KeyMissing {
            key: source.clone(),
            database: path.to_owned(),
        });
    }
    let master = source.create()?;
    write_key_check(&tx, &master).map_err(at)?;
    tx.commit().map_err(at)
}

pub fn write_key_check(connection: &Connection, master: &Key) -> rusqlite::Result<()> {
    let sealed =
        envelope::seal(master, CHECK_NAME, "", CHECK).map_err(|_| rusqlite::Error::InvalidQuery)?;
    connection.execute(
        "INSERT INTO store (one, check_key, check_value) VALUES (1, ?1, ?2)
         ON CONFLICT (one) DO UPDATE SET
             check_key = excluded.check_key, check_value = excluded.check_value",
        (sealed.data_key, sealed.value),
    )?;
    Ok(())
}

pub fn select_key_check(connection: &Connection) -> rusqlite::Result<Sealed> {
    let mut statement = connection.prepare_cached("SELECT check_key, check_value FROM store")?;
    statement.query_row([], |row| {
        Ok(Sealed {
            data_key: row.get(0)?,
            value: row.get(1)?,
        })
    })
}

pub fn read_key_check(path: &Path, connection: &Connection) -> Result<Sealed, OpenError> {
    select_key_check(connection).map_err(|e| sqlite(path, e))
}

pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// An error of SQLite about the store at `path`.
pub fn sqlite(path: &Path, error: rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotAStore(path.to_owned()),
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Damaged(path.to_owned(), error.to_string()),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            OpenError::Busy(path.to_owned())
        }
        _ if matches!(error, rusqlite::Error::QueryReturnedNoRows) => {
            OpenError::Damaged(path.to_owned(), "its key check is gone".into())
        }
        _ => OpenError::Sqlite(path.to_owned(), error),
    }
}

/// A store in memory, for tests of the rules.
#[cfg(test)]
pub fn in_memory() -> Opened {
    let connection = Connection::open_in_memory().unwrap();
    configure(&connection).unwrap();
    layout::build(&connection, 0).unwrap();
    let master = Key::generate().unwrap();
    write_key_check(&connection, &master).unwrap();
    let key_check = select_key_check(&connection).unwrap();
    Opened {
        connection,
        master,
        key_check,
        data_version: 0,
    }
}
