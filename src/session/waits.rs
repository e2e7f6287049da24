//! A client that waits: what it is told meanwhile, and whether it is still there.

use tokio::io::AsyncReadExt;
use tokio::time::{Duration, sleep};

use super::greet::checkout_error;
use crate::net::Stream;
use crate::pool::{Awaited, Pool};
use crate::wire::ClientNotice;

/// The wait after which a client is told that the server is down: a restart takes a moment.
const PATIENCE: Duration = Duration::from_millis(250);

/// Waits until there is something to tell a client that waits for a server connection: that the
/// server is down, or, after `patience`, whatever it waits for.
pub(super) async fn notice(pool: &Pool, patience: Option<Duration>) -> ClientNotice {
    // Most waits are short: each arms this one timer and no other.
    let brief = patience.map_or(PATIENCE, |patience| patience.min(PATIENCE));
    sleep(brief).await;
    tokio::select! {
        notice = server_is_down(pool, PATIENCE - brief) => notice,
        notice = still_waits(pool, patience.map(|patience| patience - brief)) => notice,
    }
}

async fn server_is_down(pool: &Pool, after: Duration) -> ClientNotice {
    sleep(after).await;
    let cause = pool.lets_nobody_in().await;
    if pool.is_paused() {
        return ClientNotice::Paused(pool.name.clone());
    }
    ClientNotice::ServerDown {
        cause: checkout_error(pool, cause),
        limit: pool.database().pool_wait_timeout,
    }
}

async fn still_waits(pool: &Pool, patience: Option<Duration>) -> ClientNotice {
    match patience {
        Some(patience) => sleep(patience).await,
        None => std::future::pending().await,
    }
    let database = pool.name.clone();
    match pool.awaited() {
        Awaited::Resume => ClientNotice::Paused(database),
        Awaited::Version => ClientNotice::NoVersion {
            database,
            secret: pool.secret.as_str().into(),
        },
        Awaited::Connection { most } => ClientNotice::Busy { database, most },
    }
}

/// What a client says before it was greeted.
#[derive(Default)]
pub(super) struct Early(Vec<u8>);

impl Early {
    /// The most bytes that are kept; a client that sends more is not read until it is greeted.
    const MOST: usize = 16 * 1024;

    /// Keeps what the client sends; ends when the client has left.
    pub async fn until_client_leaves(&mut self, stream: &mut Stream) {
        let mut buffer = [0; 512];
        while self.0.len() < Self::MOST {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(n) => self.0.extend_from_slice(&buffer[..n]),
            }
        }
        std::future::pending().await
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}
