//! What a client waits for that waits for a server connection.

use super::Pool;

/// What has to happen before the next client in the queue gets a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// An administrator resumes the database.
    Resume,
    /// A version of the secret logs in.
    Version,
    /// A connection becomes free; there may be no more than `most` of them.
    Connection { most: usize },
}

impl Pool {
    pub fn awaited(&self) -> Awaited {
        let state = self.state();
        let most = self.size(&state).saturating_sub(Self::ledger_slots(&state));
        if state.paused {
            Awaited::Resume
        } else if state.search.is_seeking() {
            Awaited::Version
        } else {
            Awaited::Connection { most }
        }
    }
}
