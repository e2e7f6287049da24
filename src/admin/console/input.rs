//! The messages of a client of the console.

use std::io;

use tokio::io::AsyncReadExt;

use crate::net::Stream;
use crate::wire::{ClientError, Frame, HEADER};

/// The longest message: a command is a line, and what drivers send is not much more.
const LONGEST: usize = 64 * 1024;

/// What a client may send ahead while a command is waited for.
const AHEAD: usize = 4 * LONGEST;

/// A message without its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub tag: u8,
    pub body: Vec<u8>,
}

/// What was read and not dealt with.
#[derive(Default)]
pub struct Input {
    bytes: Vec<u8>,
    pub received: u64,
}

impl Input {
    /// Takes the next message out, if all of it is there.
    ///
    /// # Errors
    /// It is too long, or no message.
    pub fn take(&mut self) -> Result<Option<Message>, ClientError> {
        let broken = |_| ClientError::Protocol("invalid message length");
        let Some(frame) = Frame::read(&self.bytes).map_err(broken)? else {
            return Ok(None);
        };
        if frame.len > LONGEST {
            return Err(ClientError::Protocol(
                "a message is too long for the console",
            ));
        }
        if self.bytes.len() < frame.len {
            return Ok(None);
        }
        let body = self.bytes[HEADER..frame.len].to_vec();
        self.bytes.drain(..frame.len);
        Ok(Some(Message {
            tag: frame.tag,
            body,
        }))
    }

    /// Reads more; `false`: the client has left. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn read(&mut self, stream: &mut Stream) -> io::Result<bool> {
        let n = stream.read_buf(&mut self.bytes).await?;
        self.received += n as u64;
        Ok(n > 0)
    }

    /// Waits until the client has left, and reads what it sends meanwhile.
    pub async fn until_client_leaves(&mut self, stream: &mut Stream) {
        while self.bytes.len() < AHEAD {
            if !matches!(self.read(stream).await, Ok(true)) {
                return;
            }
        }
        std::future::pending().await
    }
}

/// Reads the fields of a message's body one by one.
pub struct Fields<'a>(pub &'a [u8]);

/// The body of a message ends too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Short;

impl From<Short> for ClientError {
    fn from(_: Short) -> Self {
        Self::Protocol("invalid message format")
    }
}

impl Fields<'_> {
    pub fn byte(&mut self) -> Result<u8, Short> {
        let (&byte, rest) = self.0.split_first().ok_or(Short)?;
        self.0 = rest;
        Ok(byte)
    }

    pub fn int16(&mut self) -> Result<u16, Short> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Short)?;
        self.0 = rest;
        Ok(u16::from_be_bytes(*bytes))
    }

    pub fn int32(&mut self) -> Result<i32, Short> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Short)?;
        self.0 = rest;
        Ok(i32::from_be_bytes(*bytes))
    }

    /// A text up to its NUL.
    pub fn text(&mut self) -> Result<String, Short> {
        let end = memchr::memchr(0, self.0).ok_or(Short)?;
        let text = String::from_utf8_lossy(&self.0[..end]).into_owned();
        self.0 = &self.0[end + 1..];
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_one_after_the_other() {
        let mut input = Input::default();
        input.bytes.extend(b"Q\0\0\0\x06a\0S\0\0\0\x04Q\0\0");
        let message = |tag, body: &[u8]| Message {
            tag,
            body: body.to_vec(),
        };
        assert_eq!(input.take(), Ok(Some(message(b'Q', b"a\0"))));
        assert_eq!(input.take(), Ok(Some(message(b'S', b""))));
        assert_eq!(input.take(), Ok(None));
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_is_read() {
        let mut input = Input::default();
        input.bytes.extend(b"Q\0\x10\0\0");
        assert!(input.take().is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut input = Input { bytes: bytes.clone(), received: 0 };
            while let Ok(Some(_)) = input.take() {}
            let mut fields = Fields(&bytes);
            while fields.text().is_ok() && fields.int16().is_ok() && fields.byte().is_ok() && fields.int32().is_ok() {}
        }
    }
}
