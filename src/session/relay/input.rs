//! Bytes of a peer that were read and not dealt with yet: mostly the head of a message.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes that are kept until the rest arrives. There are mostly none, and then they take no memory.
#[derive(Default)]
pub(super) struct Input(Vec<u8>);

impl Input {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes all bytes, in order to deal with them.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }

    /// Keeps bytes behind those that wait already.
    pub fn keep(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Keeps bytes in front of those that wait already.
    pub fn keep_in_front(&mut self, bytes: Vec<u8>) {
        self.0.splice(0..0, bytes);
    }

    /// Keeps what is left of bytes that were taken, of which the first `consumed` were dealt
    /// with.
    pub fn put_back(&mut self, mut taken: Vec<u8>, consumed: usize) {
        if consumed < taken.len() {
            taken.drain(..consumed);
            self.0 = taken;
        }
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// Reads once from a peer; returns how many bytes came, 0 at the end.
pub(super) fn read<S: AsyncRead + Unpin>(
    cx: &mut Context<'_>,
    stream: &mut S,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_dealt_with_waits_in_order() {
        let mut input = Input::default();
        input.keep(b"abc");
        let taken = input.take();
        assert!(input.is_empty());
        input.put_back(taken, 1);
        input.keep(b"d");
        input.keep_in_front(b"12".to_vec());
        assert_eq!(input.bytes(), b"12bcd");
        let taken = input.take();
        input.put_back(taken, 5);
        assert!(input.is_empty(), "all of it was dealt with");
    }
}
