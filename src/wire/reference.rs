//! A short name for an event, which a client is shown and the log has.

use std::fmt;

/// Four hexadecimal digits: enough to find one of the last few hundred denials, and short enough
/// to be read to somebody on the phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference(u16);

impl Reference {
    /// `None`: the operating system has no random numbers.
    pub fn random() -> Option<Self> {
        let mut bytes = [0; 2];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        Some(Self(u16::from_be_bytes(bytes)))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}", self.0)
    }
}
