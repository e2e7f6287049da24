//! The way of bytes from the server to the client.

use std::task::{Context, Poll, ready};

use super::{Scratch, reset};
use crate::session::relay::from_server::View;
use crate::session::relay::input::read;
use crate::session::relay::{Halt, Relay};

impl Relay {
    /// Reads once from the server, and sends on what came.
    pub(super) fn poll_server(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Poll<Result<(), Halt>> {
        let Some(lease) = self.holding.lease_mut() else {
            return Poll::Pending;
        };
        let n = match ready!(read(cx, lease.stream(), &mut scratch.input)) {
            Ok(0) | Err(_) => return Poll::Ready(self.server_has_closed()),
            Ok(n) => n,
        };
        reset(&mut scratch.output);
        let arrived = &scratch.input[..n];
        if self.server.input().is_empty() {
            let consumed = self.backward(cx, arrived, &mut scratch.output);
            return Poll::Ready(consumed.map(|consumed| {
                if self.holding.has_lease() {
                    self.server.input().keep(&arrived[consumed..]);
                }
            }));
        }
        let mut input = self.server.input().take();
        input.extend_from_slice(arrived);
        let consumed = self.backward(cx, &input, &mut scratch.output);
        Poll::Ready(consumed.map(|consumed| self.server.input().put_back(input, consumed)))
    }

    /// Handles the end of what the server says. Where nothing of the client is there, that is
    /// not the client's concern: the connection may have died before it was used.
    fn server_has_closed(&mut self) -> Result<(), Halt> {
        if let Some(lease) = self.holding.lease_mut() {
            lease.is_closed();
        }
        match self.departure.has_parted() {
            true => Err(Halt::Goodbye),
            false if self.at_rest() => self.rest_without_server(),
            false => Err(Halt::ServerGone),
        }
    }

    /// Scans bytes of the server and sends on what is for the client; returns how many were
    /// dealt with. A connection that has become free goes back *before* the client is written
    /// to, so that the next client does not wait for this one's socket.
    fn backward(
        &mut self,
        cx: &mut Context<'_>,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize, Halt> {
        let one_statement = self.holding.is_by_statement();
        let Some(lease) = self.holding.lease_mut() else {
            return Ok(input.len());
        };
        let (initial, told) = self.expected.initial_and_told();
        let (prepared, reported) = lease.answered();
        let pool = &self.handle.pool;
        let view = View {
            statements: &pool.statements,
            prepared,
            reported,
            told,
            facts: &pool.facts,
            one_statement,
            initial,
            activity: Some(&self.handle.activity),
        };
        let progress = self.conversation.server_says(input, out, view);
        let run = &input[progress.run..progress.consumed];
        self.client.count_sent(out.len() + run.len());
        let mut result = Ok(());
        if !progress.findings.is_empty() {
            result = self.act_on(progress.findings);
        }
        if result.is_ok() && progress.consumed == input.len() && self.at_rest() {
            result = self.rest();
        }
        self.client.send(cx, out, run);
        result.map(|()| progress.consumed)
    }
}
