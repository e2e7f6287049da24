//! The file of the store: creating and opening it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::layout::{self, LAYOUT};
use crate::vault::draft::{Draft, make_parent};
use crate::vault::envelope::Sealed;
use crate::vault::key::Key;
use crate::vault::keyring::{self, Found};
use crate::vault::storage::{Connection as Open, Opened, Rows, Storage, StorageError};
use crate::vault::{KeySource, OpenError};

/// `PRAGMA application_id`: "pgvt".
const APPLICATION_ID: i64 = 0x7067_7674;
/// How long a transaction waits for another process to finish its own.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many prepared statements a connection keeps: more than there are.
const STATEMENTS: usize = 64;

/// Opens the store at `path`, and creates it and its key if there is nothing yet.
pub fn open(path: &Path, source: &KeySource) -> Result<Opened, OpenError> {
    make_parent(path)?;
    if !exists(path)? {
        create(path, &source.read_or_create()?)?;
    } else if source.read()?.is_none() && source.read_next()?.is_none() {
        rekey_empty(path, source)?;
    }
    let mut connection = connect(path)?;
    let key_check = read_key_check(path, &mut connection)?;
    let master = match keyring::find(source, &key_check, &path.into())? {
        Found::Current(master) => master,
        Found::Next(master) => {
            // A rekey was interrupted; this is its last step.
            source.promote_next()?;
            master
        }
    };
    // Upgraded only now, so that a store that cannot be read is not changed.
    layout::upgrade(&mut connection).map_err(|e| sqlite(path, e))?;
    Ok(Opened {
        storage: Storage::new(path.into(), Open::Sqlite(connection)),
        master,
        key_check,
    })
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
        Ok(m) if m.is_file() && m.len() == 0 => {
            Err(OpenError::Damaged(path.into(), "the file is empty".into()))
        }
        Ok(m) if m.is_file() => Ok(true),
        Ok(_) => Err(OpenError::NotAStore(path.into())),
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
            path.into(),
            format!(
                "the file is gone, but its log {} is still there",
                wal.display()
            ),
        ));
    }
    let draft = Draft::new(path)?;
    let check = keyring::check_of(master)?;
    write_layout(&draft.path, &check).map_err(|e| e.at(&path.into()))?;
    draft.publish(path).map_err(|source| OpenError::Io {
        doing: "make the store",
        path: path.to_owned(),
        source,
    })?;
    Ok(())
}

fn write_layout(draft: &Path, check: &Sealed) -> Result<(), StorageError> {
    let mut connection = Connection::open_with_flags(draft, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // Set once, here: changing it later can fail while others have the file open.
    connection.pragma_update(None, "journal_mode", "wal")?;
    configure(&connection)?;
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    layout::build(&tx, 0)?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    let rows = Rows::Sqlite(tx);
    rows.set_key_check(check, "")?;
    rows.commit()?;
    // Closing the last connection writes the log into the file and removes it.
    Ok(connection.close().map_err(|(_, e)| e)?)
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
        return Err(OpenError::NotAStore(path.into()));
    }
    let layout = number("user_version").map_err(at)?;
    if !(1..=LAYOUT).contains(&layout) {
        return Err(OpenError::Newer(path.into(), layout, LAYOUT));
    }
    connection
        .pragma_update(None, "journal_mode", "wal")
        .map_err(at)?;
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(at)?;
    if verdict != "ok" {
        let first = verdict.lines().next().unwrap_or_default().to_owned();
        return Err(OpenError::Damaged(path.into(), first));
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
    layout::upgrade(&mut connection).map_err(|e| sqlite(path, e))?;
    let at = |e: StorageError| e.at(&path.into());
    let rows = super::writing(&mut connection)
        .map(Rows::Sqlite)
        .map_err(at)?;
    if rows.count_sealed().map_err(at)? > 0 {
        return Err(OpenError::KeyMissing {
            key: source.clone(),
            database: path.into(),
        });
    }
    let check = keyring::check_of(&source.create()?)?;
    rows.set_key_check(&check, "").map_err(at)?;
    rows.commit().map_err(at)
}

pub fn read_key_check(path: &Path, connection: &mut Connection) -> Result<Sealed, OpenError> {
    super::reading(connection)
        .and_then(|tx| Rows::Sqlite(tx).key_check())
        .map_err(|e| e.at(&path.into()))
}

pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// An error of SQLite about the store at `path`.
pub fn sqlite(path: &Path, error: rusqlite::Error) -> OpenError {
    StorageError::from(error).at(&path.into())
}

/// A store in memory, for tests of the rules.
#[cfg(test)]
pub fn in_memory() -> Opened {
    let mut connection = Connection::open_in_memory().unwrap();
    configure(&connection).unwrap();
    layout::build(&connection, 0).unwrap();
    let master = Key::generate().unwrap();
    let key_check = keyring::check_of(&master).unwrap();
    let rows = Rows::Sqlite(super::writing(&mut connection).unwrap());
    rows.set_key_check(&key_check, "").unwrap();
    rows.commit().unwrap();
    Opened {
        storage: Storage::new(Path::new(":memory:").into(), Open::Sqlite(connection)),
        master,
        key_check,
    }
}
