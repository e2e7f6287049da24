//! The data path: one task a client, polled by hand.
//!
//! Bytes are read into a buffer that belongs to the thread, scanned where they
//! lie, and written on at once; only what could not be written, or is the
//! incomplete head of a message, is copied into memory of the session. An idle
//! client therefore holds no buffer at all, and in the usual case a message
//! costs one read and one write.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};

use super::{Halt, Leaving, Relay};
use crate::pool::PoolMode;
use crate::session::backend;
use crate::session::context::Signal;
use crate::session::frontend::{Server, Verdict};
use crate::wire::message;
use crate::wire::tag::status;

/// Bytes a read may return. Large enough that a big result costs few system
/// calls, small enough to stay in the cache.
const SCRATCH: usize = 32 * 1024;

/// Bytes that a session moves before others get their turn. Without it, a client that sends
/// without a pause would keep the thread: 32 KiB of small queries take half a millisecond.
const TURN: u64 = 2 * SCRATCH as u64;

struct Scratch {
    input: Box<[u8]>,
    output: Vec<u8>,
}

thread_local! {
    /// Never held across a wait: a poll takes it and gives it back.
    static BUFFERS: RefCell<Scratch> = RefCell::new(Scratch {
        input: vec![0; SCRATCH].into_boxed_slice(),
        output: Vec::with_capacity(1024),
    });
}

impl Relay {
    /// Runs until something comes up that needs more than moving bytes.
    pub async fn run(&mut self) -> Halt {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// Ends when the client is gone; for the wait for a server connection.
    /// What still waits for it is sent, and what it sends is kept, as much as
    /// one read may return. A client that has only closed its side is waited for.
    pub async fn client_leaves(&mut self) {
        std::future::poll_fn(|cx| {
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
                    if self.from_client.is_empty() {
                        return Poll::Ready(());
                    }
                    self.leaving = Leaving::Silent;
                    // Who has said goodbye is not asked whether it is there.
                    let waits = !ends_with_goodbye(&self.from_client);
                    self.probe = waits.then(Probe::new);
                } else if self.leaving == Leaving::Goodbye || !self.probes(cx) {
                    return Poll::Pending; // the wait ends otherwise
                }
            }
        })
        .await;
    }

    /// Keeps what the client sends, as much as one read may return. Ready when its
    /// side is closed.
    fn read_ahead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        BUFFERS.with_borrow_mut(|scratch| {
            while self.from_client.len() < SCRATCH {
                match ready!(read(cx, &mut self.client, &mut scratch.input)) {
                    Ok(0) => return Poll::Ready(()),
                    Err(_) => {
                        self.from_client.clear();
                        return Poll::Ready(());
                    }
                    Ok(n) => {
                        self.received += n as u64;
                        self.from_client.extend_from_slice(&scratch.input[..n]);
                    }
                }
            }
            Poll::Pending
        })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Halt> {
        self.handle.register(cx.waker());
        match self.handle.signalled() {
            Signal::None => {}
            Signal::Cancel => self.handle.forget_cancel(),
            signal @ (Signal::Kill
            | Signal::RevokedNow
            | Signal::QueryTimeout
            | Signal::DrainNow) => {
                return Poll::Ready(Halt::Asked(signal));
            }
            signal @ (Signal::IdleClient | Signal::IdleInTransaction) => {
                if self.is_still(signal) {
                    return Poll::Ready(Halt::Asked(signal));
                }
                self.handle.forget(signal);
            }
            Signal::Move if !self.moves => self.handle.forget(Signal::Move),
            signal if self.may_end() => return Poll::Ready(Halt::Asked(signal)),
            _ => {}
        }
        let moved = self.received + self.sent;
        BUFFERS.with_borrow_mut(|scratch| {
            loop {
                if self.received + self.sent - moved >= TURN {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                let mut progress = match self.poll_listening(cx) {
                    Ok(progress) => progress,
                    Err(halt) => return Poll::Ready(halt),
                };
                if self.leaving == Leaving::Goodbye {
                    self.to_client.clear();
                }
                match self.to_client.write(cx, &mut self.client) {
                    Poll::Ready(Ok(wrote)) => progress |= wrote,
                    Poll::Ready(Err(_)) => return Poll::Ready(Halt::ClientGone),
                    Poll::Pending => {}
                }
                if let Some(lease) = &mut self.lease {
                    match self.to_server.write(cx, lease.stream()) {
                        Poll::Ready(Ok(wrote)) => progress |= wrote,
                        // What the server said last is still to be read.
                        Poll::Ready(Err(_)) => self.to_server.clear(),
                        Poll::Pending => {}
                    }
                }
                if self.lease.is_some() && self.to_client.is_empty() {
                    match self.poll_server(cx, scratch) {
                        Poll::Ready(result) => {
                            self.retry |= std::mem::take(&mut self.stalled);
                            if let Err(halt) = result {
                                return Poll::Ready(halt);
                            }
                            progress = true;
                        }
                        Poll::Pending => {}
                    }
                }
                if self.to_server.is_empty() && self.to_client.has_room() && self.replies.has_room()
                {
                    match self.poll_client(cx, scratch) {
                        Poll::Ready(Ok(())) => progress = true,
                        Poll::Ready(Err(halt)) => return Poll::Ready(halt),
                        Poll::Pending => {}
                    }
                }
                if !progress {
                    if self.leaving != Leaving::No && self.to_client.is_empty() && self.is_done() {
                        return Poll::Ready(Halt::Goodbye);
                    }
                    if self.probes(cx) {
                        continue;
                    }
                    self.report();
                    // It may have come to rest only now, and nothing will
                    // wake it again for the signal's sake.
                    return match self.handle.signalled() {
                        signal @ (Signal::Move
                        | Signal::DrainDeadline
                        | Signal::Revoked
                        | Signal::Shutdown)
                            if self.may_end() =>
                        {
                            Poll::Ready(Halt::Asked(signal))
                        }
                        _ => Poll::Pending,
                    };
                }
            }
        })
    }

    /// A client that has closed its side may be gone altogether, with a query of
    /// its own running on: only a write shows. `true`: there is something to write.
    fn probes(&mut self, cx: &mut Context<'_>) -> bool {
        let due = match &mut self.probe {
            Some(probe) if self.leaving == Leaving::Silent => probe.is_due(cx),
            _ => false,
        };
        if !due || !self.back.is_at_boundary() {
            return false;
        }
        // It may come at any time, and tells nothing new.
        self.told.write_one(self.to_client.buffer());
        true
    }

    /// One read from the client, and what follows from it.
    fn poll_client(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Poll<Result<(), Halt>> {
        if std::mem::take(&mut self.retry) && !self.from_client.is_empty() {
            let input = std::mem::take(&mut self.from_client);
            let result = self.forward(cx, &input, &mut scratch.output);
            return Poll::Ready(
                result.map(|consumed| keep(&mut self.from_client, input, consumed)),
            );
        }
        if self.leaving != Leaving::No || (self.stalled && self.from_client.len() >= SCRATCH) {
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
        if self.stalled {
            // Read all the same, so that a client that leaves is noticed.
            self.from_client.extend_from_slice(&scratch.input[..n]);
            return Poll::Ready(Ok(()));
        }
        let result = if self.from_client.is_empty() {
            match self.forward(cx, &scratch.input[..n], &mut scratch.output) {
                Ok(consumed) => {
                    self.from_client
                        .extend_from_slice(&scratch.input[consumed..n]);
                    Ok(())
                }
                Err(halt) => Err(halt),
            }
        } else {
            let mut input = std::mem::take(&mut self.from_client);
            input.extend_from_slice(&scratch.input[..n]);
            self.forward(cx, &input, &mut scratch.output)
                .map(|consumed| keep(&mut self.from_client, input, consumed))
        };
        Poll::Ready(result)
    }

    /// Scans bytes of the client and sends on what is for the server. Where a
    /// server connection is needed and one is free, it is taken on the spot.
    fn forward(
        &mut self,
        cx: &mut Context<'_>,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize, Halt> {
        let mut at = 0;
        loop {
            reset(out);
            let defaults = self.lease.as_deref().map_or(0, |c| c.defaults);
            let server = Server {
                session: self.handle.id,
                statements: &self.pool.statements,
                prepared: self.lease.as_deref_mut().map(|c| &mut c.prepared),
                status: self.back.status,
                multiplex: self.mode != PoolMode::Session || self.moves,
                initial: &self.initial,
                profile: &self.profile,
                defaults,
                limits: self.handle.limits.is_some(),
                pinned: self.pinned.is_some_and(decides_meaning),
            };
            let rest = &input[at..];
            let progress = self.front.scan(rest, out, &mut self.replies, server);
            let run = &rest[progress.run..progress.consumed];
            at += progress.consumed;
            if !out.is_empty() || !run.is_empty() {
                self.send(cx, out, run);
            }
            for _ in 0..std::mem::take(&mut self.front.refused_batches) {
                message::ready_for_query(self.to_client.buffer(), status::IDLE);
            }
            match progress.verdict {
                Verdict::More => {
                    // The end of a message that the server had given up on. (With
                    // another one begun, its end will do.)
                    if at == input.len() && self.lease.is_some() && self.at_rest() {
                        self.over()?;
                    }
                    return Ok(at);
                }
                Verdict::NeedAnswers => {
                    self.stalled = true;
                    return Ok(at);
                }
                Verdict::Terminate => {
                    self.leaving = Leaving::Goodbye;
                    return Ok(input.len());
                }
                Verdict::Violation(error) => return Err(Halt::Violation(error)),
                Verdict::NeedServer if self.begin_at_once() => {}
                Verdict::NeedServer => {
                    self.from_client.clear();
                    self.from_client.extend_from_slice(&input[at..]);
                    return Err(Halt::NeedServer);
                }
            }
        }
    }

    /// To the server: behind what already waits, else straight to the socket.
    fn send(&mut self, cx: &mut Context<'_>, head: &mut Vec<u8>, run: &[u8]) {
        let Some(lease) = &mut self.lease else { return };
        lease.speaks();
        self.to_server.send(cx, lease.stream(), head, run);
    }

    /// One read from the server, and what follows from it.
    fn poll_server(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Poll<Result<(), Halt>> {
        let Some(lease) = &mut self.lease else {
            return Poll::Pending;
        };
        let n = match ready!(read(cx, lease.stream(), &mut scratch.input)) {
            Ok(0) | Err(_) => return Poll::Ready(Err(Halt::ServerGone)),
            Ok(n) => n,
        };
        reset(&mut scratch.output);
        if self.from_server.is_empty() {
            let consumed = self.backward(cx, &scratch.input[..n], &mut scratch.output);
            Poll::Ready(consumed.map(|c| {
                if self.lease.is_some() {
                    self.from_server.extend_from_slice(&scratch.input[c..n]);
                }
            }))
        } else {
            let mut input = std::mem::take(&mut self.from_server);
            input.extend_from_slice(&scratch.input[..n]);
            let consumed = self.backward(cx, &input, &mut scratch.output);
            Poll::Ready(consumed.map(|c| keep(&mut self.from_server, input, c)))
        }
    }

    /// Scans bytes of the server and sends on what is for the client. A
    /// connection that has become free goes back *before* the client is
    /// written to: the next client need not wait for this one's socket.
    fn backward(
        &mut self,
        cx: &mut Context<'_>,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize, Halt> {
        let Some(lease) = &mut self.lease else {
            return Ok(input.len());
        };
        let (prepared, reported) = lease.answered();
        let server = backend::Server {
            statements: &self.pool.statements,
            prepared,
            reported,
            told: &mut self.told,
            facts: &self.pool.facts,
            one_statement: self.mode == PoolMode::Statement,
            initial: &self.initial,
        };
        let progress = self
            .back
            .scan(input, out, &mut self.replies, &mut self.front, server);
        let run = &input[progress.run..progress.consumed];
        self.sent += (out.len() + run.len()) as u64;
        let mut halt = None;
        if let Some(findings) = progress.findings {
            halt = self.consider(*findings).err();
        }
        let whole = progress.consumed == input.len();
        if halt.is_none() && whole && self.at_rest() {
            halt = self.over().err();
        }
        self.to_client.send(cx, &mut self.client, out, run);
        match halt {
            Some(halt) => Err(halt),
            None => Ok(progress.consumed),
        }
    }
}

/// Two writes to a client that has closed its side: the first is answered by a
/// reset if nobody is there, and the second one fails then.
pub(super) struct Probe {
    left: usize,
    next: Pin<Box<tokio::time::Sleep>>,
}

impl Probe {
    const BETWEEN: Duration = Duration::from_millis(50);

    fn new() -> Self {
        Self {
            left: 2,
            next: Box::pin(tokio::time::sleep(Self::BETWEEN)),
        }
    }

    fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        if self.left == 0 || self.next.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.left -= 1;
        self.next = Box::pin(tokio::time::sleep(Self::BETWEEN));
        if self.left > 0 {
            // To be woken for the next one.
            let _ = self.next.as_mut().poll(cx);
        }
        true
    }
}

/// Whether the last message of these is a Terminate.
fn ends_with_goodbye(said: &[u8]) -> bool {
    said.ends_with(b"X\0\0\0\x04")
}

/// Whether what a client is pinned for decides what a text means there.
fn decides_meaning(pin: &'static str) -> bool {
    matches!(
        pin,
        "role" | "session_authorization" | "set_config" | "temp"
    )
}

fn read<S: AsyncRead + Unpin>(
    cx: &mut Context<'_>,
    stream: &mut S,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

/// Empties a thread's buffer. One huge message must not make it huge for good.
fn reset(buffer: &mut Vec<u8>) {
    if buffer.capacity() > 2 * SCRATCH {
        *buffer = Vec::with_capacity(1024);
    } else {
        buffer.clear();
    }
}

/// What was not dealt with waits for the rest of its message.
fn keep(waiting: &mut Vec<u8>, mut input: Vec<u8>, consumed: usize) {
    if consumed < input.len() {
        input.drain(..consumed);
        *waiting = input;
    }
}
