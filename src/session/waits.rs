//! A client that waits: what it is told meanwhile, and whether it is still there.

use tokio::io::AsyncReadExt;
use tokio::time::{Duration, sleep};

use super::greet::checkout_error;
use crate::net::Stream;
use crate::pool::Pool;
use crate::wire::ClientNotice;

/// Whoever waits for no longer is told nothing: a restart takes a moment.
const PATIENCE: Duration = Duration::from_millis(250);

/// Waits until there is something to tell a client that waits for a server connection.
pub(super) async fn notice(pool: &Pool) -> ClientNotice {
    sleep(PATIENCE).await;
    let cause = pool.lets_nobody_in().await;
    ClientNotice::ServerDown {
        cause: checkout_error(pool, cause),
        limit: pool.database().pool_wait_timeout,
    }
}

/// What a client says before it was greeted.
#[derive(Default)]
pub(super) struct Early(Vec<u8>);

impl Early {
    /// As much is kept; a client that sends more is not read until it is greeted.
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
