//! Cancel requests to a backend: a connection of their own that carries the key.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::Backend;
use super::reach::reach;
use crate::wire::login;

const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends a cancel and waits until the server has closed the connection, which it
/// does after it has signalled the backend.
///
/// # Errors
/// The server cannot be reached, or does not close within ten seconds.
pub async fn cancel(backend: &Backend) -> io::Result<()> {
    // A server that gave no cancel key cannot be cancelled.
    if backend.key.is_empty() {
        return Ok(());
    }
    let send = async {
        // The address of the backend: the host's name may lead elsewhere by now.
        let mut stream = reach(&backend.target, backend.address.into())
            .await
            .map_err(io::Error::other)?;
        let mut out = Vec::with_capacity(64);
        login::cancel_request(&mut out, backend.pid.0.cast_unsigned(), &backend.key);
        stream.write_all(&out).await?;
        stream.flush().await?;
        let mut rest = [0; 16];
        // Over TLS the server may leave without close_notify.
        let _ = stream.read(&mut rest).await;
        Ok(())
    };
    timeout(CANCEL_TIMEOUT, send)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
