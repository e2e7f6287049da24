//! Backups of a store: made while it serves, checked before they are trusted, and
//! written over an existing file only when asked for.
//!
//! A backup is a store file like any other. It is sealed under the same key, which
//! is not in it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::schema;
use crate::secret::AWSCURRENT;
use crate::vault::draft::{Draft, make_parent, sync_parent};
use crate::vault::storage::{Rows, StorageError};
use crate::vault::{KeySource, OpenError, keyring, sealed};

/// How long a process that has the store open may take to close it.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a copy holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    pub secrets: i64,
    /// Values and access keys.
    pub sealed: usize,
    /// The name that a store which was there before has now.
    pub replaced: Option<PathBuf>,
    /// Secrets whose current version is older than the one in that store.
    pub older: Vec<Older>,
}

/// A secret of a backup, and its current version in the store that the backup replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Older {
    pub secret: String,
    pub version: String,
    pub made: SystemTime,
    pub newer: String,
    pub newer_made: SystemTime,
}

/// Copies the store at `path` into `to`, as it is at one moment, and checks the
/// copy.
pub fn backup(
    path: &Path,
    source: &KeySource,
    to: &Path,
    force: bool,
) -> Result<Copied, OpenError> {
    if to.exists() && !force {
        return Err(OpenError::Exists(to.to_owned()));
    }
    // `schema::open` would create a store where there is none.
    let connection = schema::connect(path)?;
    make_parent(to)?;
    let draft = Draft::new(to)?;
    connection
        .execute("VACUUM INTO ?1", [text(&draft.path)?])
        .map_err(|e| schema::sqlite(path, e))?;
    let copied = check(&draft.path, source, path)?;
    sync(&draft.path)?;
    match force {
        true => draft.replace(to).map_err(io_error("write", to))?,
        false if draft.publish(to).map_err(io_error("write", to))? => {}
        false => return Err(OpenError::Exists(to.to_owned())),
    }
    Ok(copied)
}

/// Puts the backup at `from` in place of the store at `path`. If a store is there,
/// `force` is needed, nobody may have it open, and it is kept beside the new one.
pub fn restore(
    from: &Path,
    path: &Path,
    source: &KeySource,
    force: bool,
) -> Result<Copied, OpenError> {
    if path.exists() && !force {
        return Err(OpenError::Exists(path.to_owned()));
    }
    let size = fs::metadata(from).map_err(io_error("read", from))?;
    if !size.is_file() || size.len() == 0 {
        return Err(OpenError::NotAStore(from.into()));
    }
    make_parent(path)?;
    let draft = Draft::new(path)?;
    // The copy is what is checked, so that nothing changes between the check and
    // the use.
    copy(from, &draft.path).map_err(io_error("read", from))?;
    let mut copied = check(&draft.path, source, from)?;
    sync(&draft.path)?;
    copied.older = older(&draft.path, path);
    // The lock is held until the new file has the name of the old one.
    let mut locked = None;
    if path.exists() {
        let (aside, lock) = set_aside(path)?;
        copied.replaced = Some(aside);
        locked = lock;
    }
    draft.replace(path).map_err(io_error("write", path))?;
    drop(locked);
    Ok(copied)
}

/// Copies the content and not the mode: the mode of `to` lets nobody else read it,
/// whatever that of the backup is.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut to = fs::OpenOptions::new().write(true).truncate(true).open(to)?;
    io::copy(&mut File::open(from)?, &mut to).map(|_| ())
}

/// Checks the structure of the file, the key, and every value.
fn check(copy: &Path, source: &KeySource, name: &Path) -> Result<Copied, OpenError> {
    let at = |e| schema::sqlite(name, e);
    let mut connection = schema::connect_as(copy, name)?;
    let verdict: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(at)?;
    if verdict != "ok" {
        return Err(OpenError::Damaged(name.into(), verdict));
    }
    // SQLite reads the missing part of a last page as zeros, without an error.
    let page: u32 = connection
        .query_row("PRAGMA page_size", [], |row| row.get(0))
        .map_err(at)?;
    let size = fs::metadata(copy).map_err(io_error("read", name))?.len();
    if size % u64::from(page.max(1)) != 0 {
        let what = "its last page is cut off".to_owned();
        return Err(OpenError::Damaged(name.into(), what));
    }
    let location = name.into();
    let check = schema::read_key_check(name, &mut connection)?;
    let key = keyring::find(source, &check, &location)?.into_key();
    let rows = super::reading(&mut connection)
        .map(Rows::Sqlite)
        .map_err(|e| e.at(&location))?;
    let sealed = sealed::verify(&location, &rows, &key)?;
    let secrets = rows.count_secrets().map_err(|e| e.at(&location))?;
    drop(rows);
    // Closing writes the log into the file and removes it.
    connection.close().map_err(|(_, e)| at(e))?;
    Ok(Copied {
        secrets,
        sealed,
        replaced: None,
        older: Vec::new(),
    })
}

/// The secrets that are older in `backup` than in the store at `path`, as far as that
/// can be read.
fn older(backup: &Path, path: &Path) -> Vec<Older> {
    let (Ok(then), Ok(now)) = (current(backup), current(path)) else {
        return Vec::new();
    };
    let newer = |(secret, (version, made)): (String, (String, u64))| {
        let (newer, newer_made) = now.get(&secret)?;
        let at = |ms: u64| UNIX_EPOCH + Duration::from_millis(ms);
        (*newer != version && *newer_made > made).then(|| Older {
            secret,
            version,
            made: at(made),
            newer: newer.clone(),
            newer_made: at(*newer_made),
        })
    };
    then.into_iter().filter_map(newer).collect()
}

/// The current version of each secret, and when it was made.
fn current(path: &Path) -> Result<BTreeMap<String, (String, u64)>, StorageError> {
    let mut connection = schema::connect_reader(path)?;
    let rows = super::reading(&mut connection).map(Rows::Sqlite)?;
    let made = |made| u64::try_from(made).unwrap_or(0);
    let found = rows.versions_with(AWSCURRENT)?.into_iter();
    Ok(found
        .map(|(secret, version, at)| (secret, (version, made(at))))
        .collect())
}

/// Gives the store a second name. The first one stays until the new file takes it,
/// so that there is a store at `path` at every moment. The log has to be gone by
/// then, because SQLite would replay it into the new file.
fn set_aside(path: &Path) -> Result<(PathBuf, Option<Connection>), OpenError> {
    let stamp = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_millis());
    let aside = schema::with_suffix(path, &format!(".replaced-{stamp}"));
    let log = schema::with_suffix(path, "-wal");
    let lock = match close_for_others(path) {
        Ok(lock) => Some(lock),
        // A damaged store can be replaced as well; its log is moved unread.
        Err(OpenError::Damaged(..) | OpenError::NotAStore(_)) => None,
        Err(e) => return Err(e),
    };
    fs::hard_link(path, &aside).map_err(io_error("keep the store in", &aside))?;
    match fs::rename(&log, schema::with_suffix(&aside, "-wal")) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(io_error("set aside", &log)(e)),
    }
    match fs::remove_file(schema::with_suffix(path, "-shm")) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(io_error("set aside the log of", path)(e)),
    }
    sync_parent(path).map_err(io_error("keep the store in", &aside))?;
    Ok((aside, lock))
}

/// Proves that nobody else has the store open, and writes its log into it. Nobody
/// else can open the store as long as the connection lives.
fn close_for_others(path: &Path) -> Result<Connection, OpenError> {
    let at = |e| match schema::sqlite(path, e) {
        OpenError::Busy(path) => OpenError::InUse(path),
        e => e,
    };
    let mut connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(at)?;
    connection.busy_timeout(PATIENCE).map_err(at)?;
    // This comes before the first read, because it decides how the log is opened.
    connection
        .pragma_update(None, "locking_mode", "exclusive")
        .map_err(at)?;
    connection
        .transaction_with_behavior(TransactionBehavior::Exclusive)
        .and_then(|tx| tx.commit())
        .map_err(at)?;
    connection
        .pragma_update(None, "journal_mode", "delete")
        .map_err(at)?;
    // Leaving the log released the lock. This one stays with the connection.
    connection
        .transaction_with_behavior(TransactionBehavior::Exclusive)
        .and_then(|tx| tx.commit())
        .map_err(at)?;
    Ok(connection)
}

fn text(path: &Path) -> Result<&str, OpenError> {
    path.to_str().ok_or_else(|| OpenError::Io {
        doing: "write",
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidInput, "its name is not UTF-8"),
    })
}

fn sync(path: &Path) -> Result<(), OpenError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(io_error("write", path))
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io {
        doing,
        path,
        source,
    }
}
