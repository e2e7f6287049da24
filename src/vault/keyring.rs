//! The master key of an open store. Another process may replace it at any time
//! (`pgvalet store rekey`). A transaction that finds the store sealed under
//! another key looks for the new one and goes on.

use std::sync::Arc;

use parking_lot::Mutex;

use super::envelope::{self, Sealed};
use super::key::Key;
use super::storage::Location;
use super::{KeySource, OpenError};

/// A text that the store holds sealed under its master key. A key that opens it is
/// the right one.
const CHECK: &[u8] = b"this key opens this store";
const CHECK_NAME: &str = "key check";
/// How often the key is looked for: a rekey may move the next key into place
/// between two looks.
const LOOKS: usize = 3;

/// A key, and the sealed check that it opens.
pub struct Unlocked {
    pub master: Key,
    pub check: Sealed,
}

/// Which key of a source opens a store.
pub enum Found {
    Current(Key),
    /// The next key: a rekey was interrupted after it had re-wrapped the store.
    Next(Key),
}

impl Found {
    pub fn into_key(self) -> Key {
        match self {
            Self::Current(key) | Self::Next(key) => key,
        }
    }
}

/// The check that a store holds which is sealed under this key.
pub fn check_of(key: &Key) -> Result<Sealed, OpenError> {
    envelope::seal(key, CHECK_NAME, "", CHECK).map_err(|_| OpenError::NoRandomness)
}

/// Whether a key opens the check of a store.
pub fn opens(key: &Key, check: &Sealed) -> bool {
    envelope::open(key, CHECK_NAME, "", check).is_ok_and(|plain| plain[..] == *CHECK)
}

/// Finds the key that opens the store at `database`.
pub fn find(source: &KeySource, check: &Sealed, database: &Location) -> Result<Found, OpenError> {
    let mut missing = false;
    for _ in 0..LOOKS {
        let current = source.read()?;
        missing = current.is_none();
        match current {
            Some(key) if opens(&key, check) => return Ok(Found::Current(key)),
            _ => {}
        }
        match source.read_next()? {
            Some(key) if opens(&key, check) => return Ok(Found::Next(key)),
            _ => {}
        }
    }
    let (key, database) = (source.clone(), database.clone());
    Err(match missing {
        true => OpenError::KeyMissing { key, database },
        false => OpenError::KeyWrong { key, database },
    })
}

/// The key that is in use, and where to look for another.
pub struct Keyring {
    source: KeySource,
    database: Location,
    current: Mutex<Arc<Unlocked>>,
}

impl Keyring {
    pub fn new(source: KeySource, database: Location, unlocked: Unlocked) -> Self {
        Self {
            source,
            database,
            current: Mutex::new(Arc::new(unlocked)),
        }
    }

    pub fn current(&self) -> Arc<Unlocked> {
        self.current.lock().clone()
    }

    /// Replaces the key by the one that opens `check`, which is in the store now.
    pub fn reload(&self, check: Sealed) -> Result<(), OpenError> {
        let master = find(&self.source, &check, &self.database)?.into_key();
        let unlocked = Arc::new(Unlocked { master, check });
        *self.current.lock() = unlocked;
        tracing::info!("the store has a new master key, which is in use now");
        Ok(())
    }
}
