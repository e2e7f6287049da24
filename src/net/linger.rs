//! Hanging up so that the last words arrive.
//!
//! A socket that is closed while bytes wait to be read sends a reset, and a
//! reset may overtake what was written before: the client would see "connection
//! reset" and never the error that says why. So the write side is closed first,
//! and for a moment what the client still sends is read and dropped.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::Stream;

/// Long enough for a client to read an error and to close; one that goes on
/// sending instead is not listened to for longer.
const LINGER: Duration = Duration::from_secs(1);

/// Closes a stream whose last words have been written.
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
