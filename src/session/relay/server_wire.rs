//! The server's side of the relay: what waits on the way to the server connection and from it. The
//! connection itself belongs to the lease.

use std::task::{Context, Poll};

use super::input::Input;
use super::pending::Pending;
use crate::pool::Lease;

/// What waits for the server, and what it has said that was not dealt with.
#[derive(Default)]
pub(super) struct ServerWire {
    output: Pending,
    input: Input,
}

impl ServerWire {
    /// What has been read and not dealt with.
    pub fn input(&mut self) -> &mut Input {
        &mut self.input
    }

    /// The buffer for what pgvalet itself asks the server.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.output.buffer()
    }

    /// Sends `head` and then `run`, behind what already waits.
    pub fn send(
        &mut self,
        cx: &mut Context<'_>,
        lease: &mut Lease,
        head: &mut Vec<u8>,
        run: &[u8],
    ) {
        lease.speaks();
        self.output.send(cx, lease.stream(), head, run);
    }

    /// Writes what waits; `true` if something was written. A server that takes nothing any more
    /// is no error here: what it said last is still to be read.
    pub fn write(&mut self, cx: &mut Context<'_>, lease: &mut Lease) -> bool {
        match self.output.write(cx, lease.stream()) {
            Poll::Ready(Ok(wrote)) => wrote,
            Poll::Ready(Err(_)) => {
                self.output.clear();
                false
            }
            Poll::Pending => false,
        }
    }

    /// Whether all that was to be sent has been written.
    pub fn is_written(&self) -> bool {
        self.output.is_empty()
    }

    /// Whether nothing waits, neither from the server nor for it.
    pub fn is_idle(&self) -> bool {
        self.input.is_empty() && self.output.is_empty()
    }
}
