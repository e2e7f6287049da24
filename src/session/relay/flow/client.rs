//! From the client to the server.

use std::future::poll_fn;
use std::mem;
use std::task::{Context, Poll, ready};

use super::{BUFFERS, Probe, SCRATCH, Scratch, keep, read, reset};
use crate::pool::PoolMode;
use crate::session::registry::Pin;
use crate::session::relay::from_client::{Verdict, View};
use crate::session::relay::{Awaits, Halt, Leaving, Relay};
use crate::wire::message;
use crate::wire::tag::status;

impl Relay {
    /// Reads once from the client, and sends on what came.
    pub(super) fn poll_client(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Poll<Result<(), Halt>> {
        if self.awaits == Awaits::Nothing {
            self.awaits = Awaits::Bytes;
            if !self.client_input.is_empty() {
                let input = mem::take(&mut self.client_input);
                return Poll::Ready(self.forward_all(cx, input, &mut scratch.output));
            }
        }
        let stalled = self.awaits == Awaits::Answers;
        if self.leaving != Leaving::No || (stalled && self.client_input.len() >= SCRATCH) {
            return Poll::Pending;
        }
        let n = match ready!(read(cx, &mut self.client, &mut scratch.input)) {
            Err(_) => return Poll::Ready(Err(Halt::ClientGone)),
            Ok(0) => {
                self.leaving = Leaving::Silent;
                self.probe = Some(Probe::new());
                return Poll::Ready(Ok(()));
            }
            Ok(n) => n,
        };
        self.received += n as u64;
        let arrived = &scratch.input[..n];
        if stalled {
            // Read nevertheless, so that a client that leaves is noticed.
            self.client_input.extend_from_slice(arrived);
            return Poll::Ready(Ok(()));
        }
        if self.client_input.is_empty() {
            let result = self.forward(cx, arrived, &mut scratch.output);
            return Poll::Ready(result.map(|consumed| {
                self.client_input.extend_from_slice(&arrived[consumed..]);
            }));
        }
        let mut input = mem::take(&mut self.client_input);
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
        keep(&mut self.client_input, input, consumed);
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
                multiplex: self.mode != PoolMode::Session || self.moves,
                initial: &self.initial,
                profile: &self.profile,
                defaults: self.lease.as_deref().map_or(0, |c| c.defaults),
                limits: self.handle.is_limited(),
                pinned: self.pinned.is_some_and(Pin::decides_meaning),
            };
            let prepared = self.lease.as_deref_mut().map(|c| &mut c.prepared);
            let rest = &input[at..];
            let progress = self.conversation.client_says(rest, out, prepared, view);
            let run = &rest[progress.run..progress.consumed];
            at += progress.consumed;
            if !out.is_empty() || !run.is_empty() {
                self.send(cx, out, run);
            }
            for _ in 0..mem::take(&mut self.conversation.from_client.refused_batches) {
                message::ready_for_query(self.to_client.buffer(), status::IDLE);
            }
            match progress.verdict {
                Verdict::More => {
                    // The message that ends here may be one that the server had given up on.
                    // (Where another message has begun, the end of that one will do.)
                    if at == input.len() && self.lease.is_some() && self.at_rest() {
                        self.rest()?;
                    }
                    return Ok(at);
                }
                Verdict::NeedAnswers => {
                    self.awaits = Awaits::Answers;
                    return Ok(at);
                }
                Verdict::Terminate => {
                    self.leaving = Leaving::Goodbye;
                    return Ok(input.len());
                }
                Verdict::Violation(error) => return Err(Halt::Violation(error)),
                Verdict::Vacate(database) => {
                    self.client_input.clear();
                    self.client_input.extend_from_slice(&input[at..]);
                    return Err(Halt::Vacate(database));
                }
                Verdict::NeedServer if self.begin_at_once() => {}
                Verdict::NeedServer => {
                    self.client_input.clear();
                    self.client_input.extend_from_slice(&input[at..]);
                    return Err(Halt::NeedServer);
                }
            }
        }
    }

    /// Sends to the server: behind what already waits, or straight to the socket.
    fn send(&mut self, cx: &mut Context<'_>, head: &mut Vec<u8>, run: &[u8]) {
        let Some(lease) = &mut self.lease else { return };
        lease.speaks();
        self.to_server.send(cx, lease.stream(), head, run);
    }

    /// Ends when the client is gone, while a server connection is waited for. What still waits
    /// for the client is sent, and what it sends is kept, as much as one read may return. A
    /// client that has only closed its side is waited for.
    pub async fn client_leaves(&mut self) {
        poll_fn(|cx| {
            loop {
                loop {
                    match self.to_client.write(cx, &mut self.client) {
                        Poll::Ready(Ok(true)) => {}
                        Poll::Ready(Err(_)) => return Poll::Ready(()),
                        Poll::Ready(Ok(false)) | Poll::Pending => break,
                    }
                }
                if self.leaving == Leaving::No {
                    ready!(self.read_ahead(cx));
                    if self.client_input.is_empty() {
                        return Poll::Ready(());
                    }
                    self.leaving = Leaving::Silent;
                    // A client that has said goodbye is not asked whether it is there.
                    let waits = !ends_with_goodbye(&self.client_input);
                    self.probe = waits.then(Probe::new);
                } else if self.leaving == Leaving::Goodbye || !self.probes(cx) {
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
            while self.client_input.len() < SCRATCH {
                match ready!(read(cx, &mut self.client, &mut scratch.input)) {
                    Ok(0) => return Poll::Ready(()),
                    Err(_) => {
                        self.client_input.clear();
                        return Poll::Ready(());
                    }
                    Ok(n) => {
                        self.received += n as u64;
                        self.client_input.extend_from_slice(&scratch.input[..n]);
                    }
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
