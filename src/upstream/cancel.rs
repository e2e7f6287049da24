//! Cancel requests to a backend: a connection of their own that carries the key.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{Backend, connect};

const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends the cancel and waits until the server has closed the connection,
/// which it does after it signalled the backend.
pub async fn cancel(backend: &Backend) -> io::Result<()> {
    let send = async {
        let mut stream = connect::reach(&backend.target)
            .await
            .map_err(io::Error::other)?;
        let mut out = BytesMut::new();
        frontend::cancel_request(backend.pid.0, backend.key, &mut out);
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
