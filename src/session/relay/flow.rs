//! The data path: each client has one task, polled by hand.
//!
//! Bytes are read into a buffer that belongs to the thread, scanned where they lie, and
//! written on at once. Only what could not be written, or is the incomplete head of a message,
//! is copied into memory of the session. An idle client therefore holds no buffer, and a
//! message mostly costs one read and one write.

mod client;
mod server;

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Context, Poll};

use super::{Halt, Relay};
use crate::session::registry::{Signal, Urgency};

/// Bytes that a read may return. Large enough that a big result costs few system calls, small
/// enough to stay in the cache.
const SCRATCH: usize = 32 * 1024;

/// Bytes that a session moves before others get their turn. Without this limit, a client that
/// sends without a pause would keep the thread: 32 KiB of small queries take half a
/// millisecond.
const TURN: u64 = 2 * SCRATCH as u64;

struct Scratch {
    input: Box<[u8]>,
    output: Vec<u8>,
}

thread_local! {
    /// The buffers of a thread, never held across a wait: a poll takes them and gives them back.
    static BUFFERS: RefCell<Scratch> = RefCell::new(Scratch {
        input: vec![0; SCRATCH].into_boxed_slice(),
        output: Vec::with_capacity(1024),
    });
}

impl Relay {
    /// Runs until something comes up that needs more than moving bytes.
    pub async fn run(&mut self) -> Halt {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Halt> {
        self.handle.register(cx.waker());
        if let Some(signal) = self.handle.signalled()
            && self.heeds(signal)
        {
            return Poll::Ready(Halt::Asked(signal));
        }
        let before = self.client.moved();
        BUFFERS.with_borrow_mut(|scratch| {
            loop {
                if self.client.moved() - before >= TURN {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                match self.step(cx, scratch) {
                    Err(halt) => return Poll::Ready(halt),
                    Ok(true) => continue,
                    Ok(false) => {}
                }
                let leaving = self.departure.is_leaving() && self.client.is_written();
                if leaving && self.is_done() {
                    return Poll::Ready(Halt::Goodbye);
                }
                if self.probes(cx) || self.parts(cx) {
                    continue;
                }
                self.report();
                // The session may have come to rest only now, and nothing will wake it again
                // for the signal.
                return match self.handle.signalled() {
                    Some(signal) if signal.urgency() == Urgency::AtRest && self.may_end() => {
                        Poll::Ready(Halt::Asked(signal))
                    }
                    _ => Poll::Pending,
                };
            }
        })
    }

    /// Whether a signal is to be acted on now. A signal that came too late is forgotten.
    fn heeds(&mut self, signal: Signal) -> bool {
        let (heeded, late) = match signal.urgency() {
            Urgency::Now => (true, false),
            Urgency::Silent => (self.is_still(signal), true),
            Urgency::Waiting => (false, true),
            Urgency::AtRest if signal == Signal::Move && !self.holding.may_migrate() => {
                (false, true)
            }
            Urgency::AtRest => (self.may_end(), false),
        };
        if !heeded && late {
            self.handle.forget(signal);
        }
        heeded
    }

    /// Moves what can be moved, once in each direction; `false` if that was nothing.
    #[inline]
    fn step(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Result<bool, Halt> {
        let mut progress = self.poll_listening(cx)?;
        if self.departure.has_said_goodbye() {
            self.client.clear_output();
        }
        match self.client.write(cx) {
            Poll::Ready(Ok(wrote)) => progress |= wrote,
            Poll::Ready(Err(_)) => return Err(Halt::ClientGone),
            Poll::Pending => {}
        }
        if let Some(lease) = self.holding.lease_mut() {
            progress |= self.server.write(cx, lease);
        }
        if self.holding.has_lease()
            && self.client.is_written()
            && let Poll::Ready(result) = self.poll_server(cx, scratch)
        {
            self.client.server_has_answered();
            result?;
            progress = true;
        }
        if self.server.is_written()
            && self.client.has_room()
            && self.conversation.replies.has_room()
            && let Poll::Ready(result) = self.poll_client(cx, scratch)
        {
            result?;
            progress = true;
        }
        Ok(progress)
    }
}

/// Empties a thread's buffer. One huge message must not make it huge for good.
fn reset(buffer: &mut Vec<u8>) {
    if buffer.capacity() > 2 * SCRATCH {
        *buffer = Vec::with_capacity(1024);
    } else {
        buffer.clear();
    }
}
