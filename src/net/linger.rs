//! Closing a connection so that the last message arrives.
//!
//! A socket that is closed while bytes wait to be read sends a reset, and a
//! reset may overtake the bytes that were written before: the client would see
//! "connection reset" and not the error that says why. Therefore the write side is closed
//! first, and for a moment the bytes that the client still sends are read and dropped.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::Stream;

/// Long enough for a client to read an error and to close. A client that goes on sending
/// is cut off then.
const LINGER: Duration = Duration::from_secs(1);

/// Closes a stream whose last message has been written.
pub async fn hang_up(stream: &mut Stream) {
    let linger = async {
        stream.shutdown().await?;
        let mut rest = [0; 4096];
        while stream.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    // An error means that the other side is gone already.
    let _ = timeout(LINGER, linger).await;
}
