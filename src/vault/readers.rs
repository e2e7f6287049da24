//! Connections that only read. The log lets them work while somebody writes
//! and waits for the disk, and several of them at a time.

use std::path::{Path, PathBuf};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::Connection;

use super::{VaultError, schema};

/// Kept open between reads; more are made when more read at once.
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

    /// Lends a connection for as long as `work` takes. One that `work` panicked
    /// over is closed.
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
