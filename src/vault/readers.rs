//! Connections that only read. SQLite's write-ahead log lets several of them work
//! while somebody writes and waits for the disk.

use std::path::{Path, PathBuf};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::Connection;

use super::{VaultError, schema};

/// How many connections stay open between reads. More are opened while more read
/// at once.
const KEPT: usize = 8;

pub struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            idle: Mutex::default(),
        }
    }

    /// The file that the connections are to.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lends a connection to `work`. If `work` panics, the connection is closed.
    pub fn with<T, E: From<VaultError>>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let idle = self.idle().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => schema::connect_reader(&self.path).map_err(VaultError::from)?,
        };
        let result = work(&mut connection);
        let mut idle = self.idle();
        if idle.len() < KEPT {
            idle.push(connection);
        }
        result
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock()
    }
}
