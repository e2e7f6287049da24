//! The way of bytes from the client to the server.

use std::future::poll_fn;
use std::mem;
use std::task::{Context, Poll, ready};

use super::{BUFFERS, SCRATCH, Scratch, reset};
use crate::session::registry::Pin;
use crate::session::relay::from_client::{Verdict, View};
use crate::session::relay::{Halt, Relay};
use crate::wire::message;
use crate::wire::tag::status;

impl Relay {
    /// Reads once from the client, and sends on what came.
    pub(super) fn poll_client(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Poll<Result<(), Halt>> {
        if let Some(input) = self.client.take_due() {
            return Poll::Ready(self.forward_all(cx, input, &mut scratch.output));
        }
        let stalled = self.client.awaits_answers();
        let is_full = stalled && self.client.input().len() >= SCRATCH;
        if self.departure.is_leaving() || is_full {
            return Poll::Pending;
        }
        let n = match ready!(self.client.read(cx, &mut scratch.input)) {
            Err(_) => return Poll::Ready(Err(Halt::ClientGone)),
            Ok(0) => {
                self.departure.closes_its_side(true);
                return Poll::Ready(Ok(()));
            }
            Ok(n) => n,
        };
        let arrived = &scratch.input[..n];
        if stalled {
            // Read nevertheless, so that a client that leaves is noticed.
            self.client.input().keep(arrived);
            return Poll::Ready(Ok(()));
        }
        if self.client.input().is_empty() {
            let result = self.forward(cx, arrived, &mut scratch.output);
            return Poll::Ready(result.map(|consumed| {
                self.client.input().keep(&arrived[consumed..]);
            }));
        }
        let mut input = self.client.input().take();
        input.extend_from_slice(arrived);
        Poll::Ready(self.forward_all(cx, input, &mut scratch.output))
    }

    /// Forwards bytes that the session has kept.
    fn forward_all(
        &mut self,
        cx: &mut Context<'_>,
        input: Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), Halt> {
        let consumed = self.forward(cx, &input, out)?;
        self.client.input().put_back(input, consumed);
        Ok(())
    }

    /// Scans bytes of the client and sends on what is for the server; returns how many were
    /// dealt with. Where a server connection is needed and one is free, it is taken at once.
    fn forward(
        &mut self,
        cx: &mut Context<'_>,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize, Halt> {
        let mut at = 0;
        loop {
            reset(out);
            let view = View {
                session: self.handle.id,
                statements: &self.handle.pool.statements,
                multiplex: self.holding.may_change(),
                initial: self.expected.initial(),
                profile: self.expected.profile(),
                defaults: self.holding.lease().map_or(0, |lease| lease.defaults),
                limits: self.handle.is_limited(),
                pinned: self.holding.pinned().is_some_and(Pin::decides_meaning),
            };
            let lease = self.holding.lease_mut();
            let prepared = lease.map(|lease| &mut lease.prepared);
            let rest = &input[at..];
            let progress = self.conversation.client_says(rest, out, prepared, view);
            let run = &rest[progress.run..progress.consumed];
            at += progress.consumed;
            if !out.is_empty() || !run.is_empty() {
                self.holding.is_used();
                self.send(cx, out, run);
            }
            for _ in 0..mem::take(&mut self.conversation.from_client.refused_batches) {
                message::ready_for_query(self.client.buffer(), status::IDLE);
            }
            match progress.verdict {
                Verdict::More => {
                    // The message that ends here may be one that the server had given up on.
                    // (Where another message has begun, the end of that one will do.)
                    if at == input.len() && self.holding.has_lease() && self.at_rest() {
                        self.rest()?;
                    }
                    return Ok(at);
                }
                Verdict::NeedAnswers => {
                    self.client.wait_for_answers();
                    return Ok(at);
                }
                Verdict::Terminate => {
                    self.departure.says_goodbye();
                    return Ok(input.len());
                }
                Verdict::Violation(error) => return Err(Halt::Violation(error)),
                Verdict::Vacate(database) => {
                    self.client.input().keep(&input[at..]);
                    return Err(Halt::Vacate(database));
                }
                Verdict::NeedServer if self.begin_at_once() => {}
                Verdict::NeedServer => {
                    self.client.input().keep(&input[at..]);
                    return Err(Halt::NeedServer);
                }
            }
        }
    }

    /// Sends to the server: behind what already waits, or straight to the socket.
    fn send(&mut self, cx: &mut Context<'_>, head: &mut Vec<u8>, run: &[u8]) {
        if let Some(lease) = self.holding.lease_mut() {
            self.server.send(cx, lease, head, run);
        }
    }

    /// Ends when the client is gone, while a server connection is waited for. What still waits
    /// for the client is sent, and what it sends is kept, as much as one read may return. A
    /// client that has only closed its side is waited for.
    pub async fn client_leaves(&mut self) {
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(Err(_)) = self.client.write_all(cx) {
                    return Poll::Ready(());
                }
                if !self.departure.is_leaving() {
                    ready!(self.read_ahead(cx));
                    if self.client.input().is_empty() {
                        return Poll::Ready(());
                    }
                    // A client that has said goodbye is not asked whether it is there.
                    let waits = !ends_with_goodbye(self.client.input().bytes());
                    self.departure.closes_its_side(waits);
                } else if !self.probes(cx) {
                    return Poll::Pending; // the wait ends otherwise
                }
            }
        })
        .await;
    }

    /// Keeps what the client sends, as much as one read may return. Ready when its side is
    /// closed.
    fn read_ahead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        BUFFERS.with_borrow_mut(|scratch| {
            while self.client.input().len() < SCRATCH {
                match ready!(self.client.read(cx, &mut scratch.input)) {
                    Ok(0) => return Poll::Ready(()),
                    Err(_) => {
                        self.client.input().clear();
                        return Poll::Ready(());
                    }
                    Ok(n) => self.client.input().keep(&scratch.input[..n]),
                }
            }
            Poll::Pending
        })
    }
}

/// Whether the last message of these is a Terminate.
fn ends_with_goodbye(said: &[u8]) -> bool {
    said.ends_with(b"X\0\0\0\x04")
}
