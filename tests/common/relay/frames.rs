//! Where the messages of the protocol begin and end in a stream of bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use super::Way;

/// The tags of packets that have none.
pub const START_UP: u8 = b'0';
/// SSLRequest and GSSENCRequest, and the byte that answers them.
pub const TLS: u8 = b'1';
pub const CANCEL: u8 = b'2';

/// What one direction of a connection has to know of the other.
#[derive(Default)]
pub struct Shared {
    /// A request for encryption has not been answered yet.
    asked: AtomicBool,
    /// Encrypted, or no Postgres at all: there are only bytes.
    opaque: AtomicBool,
}

impl Shared {
    pub fn opaque() -> Arc<Self> {
        let shared = Self::default();
        shared.opaque.store(true, SeqCst);
        Arc::new(shared)
    }
}

/// A part of the stream that belongs to one message at most.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    pub bytes: Vec<u8>,
    /// The tag of the message that begins with it.
    pub begins: Option<u8>,
    /// The tag of the message that ends with it.
    pub ends: Option<u8>,
}

pub struct Frames {
    way: Way,
    shared: Arc<Shared>,
    /// A client has said what it wants; its messages have tags from there on.
    started: bool,
    /// The message under way: its tag, and how much of it is to come.
    under_way: Option<(u8, usize)>,
}

impl Frames {
    pub fn new(way: Way, shared: Arc<Shared>) -> Self {
        Self {
            way,
            shared,
            started: way == Way::ToClient,
            under_way: None,
        }
    }

    /// Takes the next piece out of what has arrived. `None`: it is not known yet to what the
    /// bytes belong.
    pub fn next(&mut self, arrived: &mut Vec<u8>) -> Option<Piece> {
        if arrived.is_empty() {
            return None;
        }
        let mut begins = None;
        if self.under_way.is_none() {
            if self.shared.opaque.load(SeqCst) {
                let bytes = std::mem::take(arrived);
                return Some(Piece {
                    bytes,
                    begins: None,
                    ends: None,
                });
            }
            let (tag, length) = self.head(arrived)?;
            begins = Some(tag);
            self.under_way = Some((tag, length));
        }
        let (tag, left) = self.under_way?;
        let n = left.min(arrived.len());
        let bytes: Vec<u8> = arrived.drain(..n).collect();
        let ends = (n == left).then_some(tag);
        self.under_way = (n < left).then_some((tag, left - n));
        Some(Piece {
            bytes,
            begins,
            ends,
        })
    }

    /// The tag and the whole length of the message that begins here.
    fn head(&mut self, arrived: &[u8]) -> Option<(u8, usize)> {
        if self.way == Way::ToClient && self.shared.asked.swap(false, SeqCst) {
            self.shared.opaque.store(arrived[0] != b'N', SeqCst);
            return Some((TLS, 1));
        }
        if self.started {
            let &[tag, a, b, c, d] = arrived.first_chunk::<5>()?;
            return Some((tag, u32::from_be_bytes([a, b, c, d]) as usize + 1));
        }
        let &[a, b, c, d, e, f, g, h] = arrived.first_chunk::<8>()?;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let tag = match u32::from_be_bytes([e, f, g, h]) {
            80_877_103 | 80_877_104 => {
                self.shared.asked.store(true, SeqCst);
                TLS
            }
            80_877_102 => CANCEL,
            _ => {
                self.started = true;
                START_UP
            }
        };
        Some((tag, length))
    }
}
