//! An established, logged-in server connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{Backend, Reported};
use crate::net::Stream;
use crate::wire::message;

/// A connection that has reached its first ReadyForQuery.
pub struct Server {
    pub(super) stream: Stream,
    pub backend: Arc<Backend>,
    /// The values of ParameterStatus, as last reported.
    pub reported: Reported,
    /// NotificationResponses that came while pgvalet asked something.
    pub heard: Vec<Box<[u8]>>,
    /// Whether the server said at the login that it is a standby; `None` before
    /// Postgres 14.
    pub(super) was_standby: Option<bool>,
    /// The end of the login.
    pub opened_at: Instant,
    /// The mechanism by which the server let us in: `scram-sha-256-plus`, `scram-sha-256`, `md5`,
    /// `cleartext`, `rds-iam`, `certificate` or `trust`.
    pub mechanism: &'static str,
}

/// How long a closing server may take to go away before it is forgotten.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether ParameterStatus says that the server is a standby.
pub(super) fn standby(reported: &Reported) -> Option<bool> {
    reported.get("in_hot_standby").map(|v| v == "on")
}

impl Server {
    /// Whether the server has been promoted since the login.
    pub fn has_changed_role(&self) -> bool {
        self.was_standby != standby(&self.reported)
    }

    /// The bytes to and from the server. Whoever uses them has to keep account of
    /// what the server owes.
    pub fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// The version of TLS in use, as in `TLSv1.3`; `None` without TLS.
    pub fn tls_version(&self) -> Option<&'static str> {
        self.stream.tls_version()
    }

    /// This end of a TCP connection.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.stream.local_address()
    }

    /// Whether the server has neither hung up nor said anything unasked.
    pub fn is_alive(&mut self) -> bool {
        self.stream.is_quiet()
    }

    /// Says goodbye and waits until the server has closed the socket. Postgres
    /// removes a backend from its tables before that, so that once this
    /// returns, the connection no longer counts anywhere.
    pub async fn close(self) {
        self.close_within(CLOSE_TIMEOUT).await;
    }

    /// [`close`](Self::close) for a server that may not read the goodbye soon: it notices
    /// that nobody is there, after `limit` at the latest.
    pub async fn close_within(mut self, limit: Duration) {
        let mut bye = Vec::new();
        message::terminate(&mut bye);
        let gone = async {
            self.stream.write_all(&bye).await?;
            self.stream.flush().await?;
            // To a server that waits for the rest of a message the goodbye is a part of it; the
            // end of what comes is not.
            self.stream.shutdown().await?;
            let mut rest = [0; 1024];
            while self.stream.read(&mut rest).await? > 0 {}
            std::io::Result::Ok(())
        };
        // An error means that the server is gone already.
        let _ = timeout(limit, gone).await;
    }
}
