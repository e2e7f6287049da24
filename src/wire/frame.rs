//! Headers of messages: a tag byte, and a length that counts itself but not the tag.

/// The length of a header in bytes: tag and length.
pub const HEADER: usize = 5;

/// The longest message in bytes that Postgres accepts from a client
/// (PQ_LARGE_MESSAGE_LIMIT, pqcomm.h: MaxAllocSize - 1). A longer one is an attack, or
/// this is not the beginning of a message.
pub const MAX_MESSAGE: usize = 0x3fff_ffff;

/// A message as its header announces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    pub tag: u8,
    /// Header and body together, in bytes. The peer claims this number, so that nothing is
    /// allocated by it.
    pub len: usize,
}

/// The stream holds no valid header here, and cannot be read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("message of type {tag:#04x} announces an impossible length")]
pub struct FrameError {
    pub tag: u8,
}

impl Frame {
    /// Reads the header at the start of `bytes`; `None` while it is incomplete.
    ///
    /// # Errors
    /// [`FrameError`]: no message has this length.
    #[inline]
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let Some(&[tag, a, b, c, d]) = bytes.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        // A length below 4 would not hold itself. Negative ones are large when read as
        // unsigned.
        if !(4..=MAX_MESSAGE).contains(&length) {
            return Err(FrameError { tag });
        }
        Ok(Some(Self {
            tag,
            len: length + 1,
        }))
    }
}

/// The bytes of a NUL-terminated string at the start of `bytes`, without the
/// NUL; `None` while no NUL is in sight.
#[inline]
pub fn cstr(bytes: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr(0, bytes)?;
    Some(&bytes[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_needs_five_bytes() {
        assert_eq!(Frame::read(b"Q\0\0\0"), Ok(None));
        assert_eq!(
            Frame::read(b"Q\0\0\0\x04"),
            Ok(Some(Frame { tag: b'Q', len: 5 }))
        );
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        for length in [0u32, 3, 0x4000_0000, 0x8000_0000, u32::MAX] {
            let mut bytes = vec![b'B'];
            bytes.extend(length.to_be_bytes());
            assert_eq!(
                Frame::read(&bytes),
                Err(FrameError { tag: b'B' }),
                "{length}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            match Frame::read(&bytes) {
                Ok(Some(frame)) => prop_assert!(frame.len >= HEADER && frame.tag == bytes[0]),
                Ok(None) => prop_assert!(bytes.len() < HEADER),
                Err(e) => prop_assert_eq!(e.tag, bytes[0]),
            }
        }
    }
}
