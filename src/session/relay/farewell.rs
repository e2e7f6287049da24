//! What a client is told last.

use std::future::poll_fn;
use std::io;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::timeout;

use super::Relay;
use crate::net::hang_up;

/// How long a client that does not read is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

impl Relay {
    /// Sends all that waits for the client, and `last` behind it, and hangs up.
    ///
    /// Where part of a message has been sent and the rest will not come, nothing can be said any
    /// more: it would be read as that rest, and an error could become the value of a column.
    pub async fn farewell(&mut self, last: &[u8]) {
        if !self.conversation.from_server.is_in_message() {
            self.to_client.buffer().extend_from_slice(last);
        }
        let flush = poll_fn(|cx| {
            loop {
                match ready!(self.to_client.write(cx, &mut self.client)) {
                    Ok(true) => {}
                    Ok(false) => return Poll::Ready(io::Result::Ok(())),
                    Err(e) => return Poll::Ready(Err(e)),
                }
            }
        });
        let flushed = timeout(PATIENCE, flush).await;
        if matches!(flushed, Ok(Ok(()))) {
            hang_up(&mut self.client).await;
        }
    }
}
