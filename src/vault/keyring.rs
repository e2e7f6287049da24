//! The key of an open store. Another process may replace it at any time
//! (`pgvalet store rekey`): who sees in a transaction that the store is sealed
//! under another key than it holds looks for the new one and goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::envelope::{self, Sealed};
use super::key::Key;
use super::{KeySource, OpenError};

/// Sealed under the master key in the store itself; that it opens proves a key.
pub const CHECK: &[u8] = b"this key opens this store";
pub const CHECK_NAME: &str = "key check";
/// A rekey may move the next key into its place between two looks.
const LOOKS: usize = 3;

/// A key, and the check that it opens.
pub struct Unlocked {
    pub master: Key,
    pub check: Sealed,
}

/// Which of the source's keys opens a store.
pub enum Found {
    Current(Key),
    /// A rekey was interrupted after it had re-wrapped the store.
    Next(Key),
}

impl Found {
    pub fn into_key(self) -> Key {
        match self {
            Self::Current(key) | Self::Next(key) => key,
        }
    }
}

pub fn opens(key: &Key, check: &Sealed) -> bool {
    envelope::open(key, CHECK_NAME, "", check).is_ok_and(|plain| plain[..] == *CHECK)
}

/// The key of the source that opens the store at `database`.
pub fn find(source: &KeySource, check: &Sealed, database: &Path) -> Result<Found, OpenError> {
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
    let (key, database) = (source.clone(), database.to_owned());
    Err(match missing {
        true => OpenError::KeyMissing { key, database },
        false => OpenError::KeyWrong { key, database },
    })
}

pub struct Keyring {
    source: KeySource,
    database: PathBuf,
    current: Mutex<Arc<Unlocked>>,
}

impl Keyring {
    pub fn new(source: KeySource, database: PathBuf, unlocked: Unlocked) -> Self {
        Self {
            source,
            database,
            current: Mutex::new(Arc::new(unlocked)),
        }
    }

    pub fn current(&self) -> Arc<Unlocked> {
        self.current.lock().clone()
    }

    /// Looks for the key that opens `check`, which is in the store now.
    pub fn reload(&self, check: Sealed) -> Result<(), OpenError> {
        let master = find(&self.source, &check, &self.database)?.into_key();
        let unlocked = Arc::new(Unlocked { master, check });
        *self.current.lock() = unlocked;
        tracing::info!("the store was given another master key, which is in use now");
        Ok(())
    }
}
