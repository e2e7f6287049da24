//! Versions of the protocol and cancel keys: what client and server agree on at the
//! start of a connection, on either side of pgvalet.
//!
//! Protocol 3.2 (Postgres 18) differs from 3.0 in one thing: the key of
//! BackendKeyData, and so of CancelRequest, may be longer than four bytes.

use std::fmt;
use std::io;

use super::frame::{HEADER, cstr};
use super::message::{message, text};
use super::setting::SettingName;
use super::startup::{CANCEL, Replication};
use super::tag::backend;

/// A version of the protocol as it is written in a start-up packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u32);

impl Version {
    pub const V3_0: Self = Self(0x0003_0000);
    pub const V3_2: Self = Self(0x0003_0002);

    pub fn major(self) -> u32 {
        self.0 >> 16
    }

    pub fn minor(self) -> u32 {
        self.0 & 0xffff
    }

    /// The version to use with a client that asks for this one. There is no 3.1: Postgres
    /// left it out because old poolers claimed it by mistake.
    pub fn spoken(self) -> Self {
        if self >= Self::V3_2 {
            Self::V3_2
        } else {
            Self::V3_0
        }
    }
}

impl Default for Version {
    fn default() -> Self {
        Self::V3_0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major(), self.minor())
    }
}

/// The longest cancel key that the protocol allows, in bytes.
pub const MAX_KEY: usize = 256;
/// The shortest cancel key in bytes, and the only length in 3.0.
pub const MIN_KEY: usize = 4;

/// StartupMessage to a server. What a client sent can only be the value of a setting
/// here, never a word of the protocol.
#[derive(Debug, Clone, Copy)]
pub struct StartupMessage<'a> {
    pub version: Version,
    pub user: &'a str,
    pub database: &'a str,
    pub replication: Option<Replication>,
    pub settings: &'a [(SettingName, Box<str>)],
}

impl StartupMessage<'_> {
    /// Appends the message.
    ///
    /// # Errors
    /// `InvalidInput` if a value has a NUL, which would end it early and begin another
    /// parameter. Nothing is written then.
    pub fn write(&self, out: &mut Vec<u8>) -> io::Result<()> {
        let who = [("user", self.user), ("database", self.database)];
        let replication = self.replication.map(|r| ("replication", r.as_str()));
        let settings = self.settings.iter().map(|(n, v)| (n.as_str(), &**v));
        let words = who.into_iter().chain(replication).chain(settings);
        if words.clone().any(|(_, value)| value.contains('\0')) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let at = out.len();
        out.extend([0; 4]);
        out.extend(self.version.0.to_be_bytes());
        for (name, value) in words {
            text(out, name);
            text(out, value);
        }
        out.push(0);
        let length = (out.len() - at) as u32;
        out[at..at + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

/// Appends CancelRequest.
pub fn cancel_request(out: &mut Vec<u8>, pid: u32, key: &[u8]) {
    let length = (12 + key.len()) as u32;
    for word in [length, CANCEL, pid] {
        out.extend(word.to_be_bytes());
    }
    out.extend(key);
}

/// Appends BackendKeyData.
pub fn backend_key_data(out: &mut Vec<u8>, pid: u32, key: &[u8]) {
    message(out, backend::BACKEND_KEY_DATA, |out| {
        out.extend(pid.to_be_bytes());
        out.extend(key);
    });
}

/// The pid and the key of a BackendKeyData message, header included; `None` if no
/// version of the protocol allows such a key.
pub fn read_backend_key_data(message: &[u8]) -> Option<(u32, &[u8])> {
    let (&pid, key) = message.get(HEADER..)?.split_first_chunk::<4>()?;
    (MIN_KEY..=MAX_KEY)
        .contains(&key.len())
        .then_some((u32::from_be_bytes(pid), key))
}

/// Appends NegotiateProtocolVersion. Postgres sends the full version in the field that
/// the documentation once called the minor version, and libpq reads it so.
pub fn negotiate_protocol_version(out: &mut Vec<u8>, version: Version, unknown_options: &[String]) {
    message(out, backend::NEGOTIATE_PROTOCOL_VERSION, |out| {
        out.extend(version.0.to_be_bytes());
        out.extend((unknown_options.len() as u32).to_be_bytes());
        for option in unknown_options {
            text(out, option);
        }
    });
}

/// The version in a NegotiateProtocolVersion message, header included, and how many
/// options its sender does not know.
pub fn read_negotiation(message: &[u8]) -> Option<(Version, usize)> {
    let (&version, rest) = message.get(HEADER..)?.split_first_chunk::<4>()?;
    let (&count, mut rest) = rest.split_first_chunk::<4>()?;
    let count = u32::from_be_bytes(count) as usize;
    for _ in 0..count {
        let option = cstr(rest)?;
        rest = &rest[option.len() + 1..];
    }
    // A sender that follows the old documentation sends the minor version alone.
    let version = match Version(u32::from_be_bytes(version)) {
        Version(minor @ 0..=0xffff) => Version(Version::V3_0.0 | minor),
        full => full,
    };
    rest.is_empty().then_some((version, count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::startup::{StartupError, StartupPacket};
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn there_is_no_3_1() {
        for (asked, spoken) in [
            (Version::V3_0, Version::V3_0),
            (Version(0x0003_0001), Version::V3_0),
            (Version::V3_2, Version::V3_2),
            (Version(0x0003_270f), Version::V3_2),
        ] {
            assert_eq!(asked.spoken(), spoken, "{asked}");
        }
        assert_eq!(Version::V3_2.to_string(), "3.2");
    }

    #[test]
    fn a_key_has_4_to_256_bytes() {
        for (length, good) in [(0, false), (3, false), (4, true), (256, true), (257, false)] {
            let (mut data, mut cancel) = (Vec::new(), Vec::new());
            let key = vec![7; length];
            backend_key_data(&mut data, 1, &key);
            assert_eq!(read_backend_key_data(&data).is_some(), good, "{length}");
            cancel_request(&mut cancel, 1, &key);
            let read = StartupPacket::read(&cancel[4..]);
            assert_eq!(read != Err(StartupError::Cancel), good, "{length}");
        }
    }

    /// The bytes that Postgres 15 sends, and those of its documentation.
    #[test]
    fn a_server_of_3_0_says_so() {
        for said in [
            &b"v\0\0\0\x0c\0\x03\0\0\0\0\0\0"[..],
            b"v\0\0\0\x0c\0\0\0\0\0\0\0\0",
        ] {
            assert_eq!(read_negotiation(said), Some((Version::V3_0, 0)));
        }
        // More options are announced than there are, and fewer.
        assert_eq!(
            read_negotiation(b"v\0\0\0\x0e\0\x03\0\0\0\0\0\x02a\0"),
            None
        );
        assert_eq!(read_negotiation(b"v\0\0\0\x0e\0\x03\0\0\0\0\0\0a\0"), None);
        assert_eq!(
            read_negotiation(b"v\0\0\0\x0c\0\x03\0\0\xff\xff\xff\xff"),
            None
        );
    }

    fn message_of<'a>(
        user: &'a str,
        settings: &'a [(SettingName, Box<str>)],
    ) -> StartupMessage<'a> {
        StartupMessage {
            version: Version::V3_2,
            user,
            database: "d",
            replication: None,
            settings,
        }
    }

    #[test]
    fn no_value_hides_another_parameter() {
        let mut out = Vec::new();
        assert!(message_of("a\0role\0b", &[]).write(&mut out).is_err());
        let setting = SettingName::new("timezone").expect("a setting");
        let hidden = [(setting, "UTC\0database\0billing".into())];
        assert!(message_of("a", &hidden).write(&mut out).is_err());
        assert!(out.is_empty());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            pid in any::<u32>(),
            key in vec(any::<u8>(), MIN_KEY..=MAX_KEY),
            minor in 0..0xffffu32,
            options in vec("_pq_\\.[a-z]{0,9}", 0..5),
            value in "[^\\x00]{1,20}",
        ) {
            let mut out = Vec::new();
            backend_key_data(&mut out, pid, &key);
            prop_assert_eq!(read_backend_key_data(&out), Some((pid, &key[..])));

            out.clear();
            cancel_request(&mut out, pid, &key);
            prop_assert_eq!(out[..4].to_vec(), (out.len() as u32).to_be_bytes());
            let read = StartupPacket::read(&out[4..]);
            prop_assert_eq!(read, Ok(StartupPacket::Cancel { pid, secret: key }));

            out.clear();
            let version = Version(0x0003_0000 | minor);
            negotiate_protocol_version(&mut out, version, &options);
            prop_assert_eq!(read_negotiation(&out), Some((version, options.len())));

            out.clear();
            let setting = (SettingName::new("a.b").expect("a setting"), value.as_str().into());
            let asked = StartupMessage { version, ..message_of(&value, std::slice::from_ref(&setting)) };
            asked.write(&mut out).expect("no NUL");
            prop_assert_eq!(out[..4].to_vec(), (out.len() as u32).to_be_bytes());
            let Ok(StartupPacket::Startup(read)) = StartupPacket::read(&out[4..]) else {
                panic!("not a start-up message")
            };
            prop_assert_eq!(read.parameters, [("a.b".to_owned(), value.clone())]);
            prop_assert_eq!((read.version, read.user), (version, value));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..300)) {
            if let Some((_, key)) = read_backend_key_data(&bytes) {
                prop_assert!(bytes.ends_with(key));
            }
            if let Some((version, _)) = read_negotiation(&bytes) {
                prop_assert!(version.major() > 0);
            }
        }
    }
}
