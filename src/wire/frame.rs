//! Frame headers: a tag byte and a length that counts itself but not the tag.

/// Bytes of a header: the tag and the length.
pub const HEADER: usize = 5;

/// The largest message Postgres accepts from a client (PQ_LARGE_MESSAGE_LIMIT,
/// pqcomm.h: MaxAllocSize - 1). A longer one is an attack or a lost frame.
pub const MAX_MESSAGE: usize = 0x3fff_ffff;

/// One message, as its header announces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    pub tag: u8,
    /// Header and body together, in bytes. Never allocated from: it is the
    /// peer's word.
    pub len: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("message of type {tag:#04x} announces an impossible length")]
pub struct FrameError {
    pub tag: u8,
}

impl Frame {
    /// Reads the header at the start of `bytes`; `None` while it is incomplete.
    #[inline]
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let Some(&[tag, a, b, c, d]) = bytes.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        // Below 4 the length would not even hold itself; treating it as
        // unsigned also refuses the negative ones.
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
