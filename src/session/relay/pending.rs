//! Bytes for a peer that it could not take yet.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::net::Stream;

/// The most bytes that may wait before nothing more is read that would be sent to the peer.
const ROOM: usize = 64 * 1024;

/// Bytes that wait to be written: `buffer[written..]`. There are mostly none, and then the buffer
/// takes no memory.
#[derive(Default)]
pub(super) struct Pending {
    buffer: Vec<u8>,
    written: usize,
    /// TLS records that the socket has not taken yet.
    unflushed: bool,
}

impl Pending {
    pub fn is_empty(&self) -> bool {
        self.written == self.buffer.len()
    }

    pub fn has_room(&self) -> bool {
        self.buffer.len() - self.written < ROOM
    }

    /// The buffer to append to.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Writes what waits. `true`: something was written, and it is to be called again; `false`:
    /// nothing is left to do.
    pub fn write(&mut self, cx: &mut Context<'_>, stream: &mut Stream) -> Poll<io::Result<bool>> {
        if self.is_empty() {
            if self.unflushed {
                ready!(Pin::new(stream).poll_flush(cx))?;
                self.unflushed = false;
            }
            return Poll::Ready(Ok(false));
        }
        let n = ready!(Pin::new(&mut *stream).poll_write(cx, &self.buffer[self.written..]))?;
        if n == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.unflushed = stream.needs_flush();
        self.written += n;
        if self.is_empty() {
            self.written = 0;
            if self.buffer.capacity() > 4096 {
                self.buffer = Vec::new(); // an idle peer holds no memory
            } else {
                self.buffer.clear();
            }
        }
        Poll::Ready(Ok(true))
    }

    /// Sends `head` and then `run`, behind what already waits. What the socket does not take at
    /// once is kept; an error shows at the next [`write`].
    ///
    /// [`write`]: Self::write
    pub fn send(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        head: &mut Vec<u8>,
        run: &[u8],
    ) {
        if !self.is_empty() {
            self.buffer.extend_from_slice(head);
            self.buffer.extend_from_slice(run);
            return;
        }
        let bytes = if head.is_empty() {
            run
        } else {
            head.extend_from_slice(run);
            head
        };
        if bytes.is_empty() {
            return;
        }
        let n = match Pin::new(&mut *stream).poll_write(cx, bytes) {
            Poll::Ready(Ok(n)) => n,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        self.unflushed |= stream.needs_flush();
        self.buffer.extend_from_slice(&bytes[n..]);
    }
}
