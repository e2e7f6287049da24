//! The first packet of a connection: it has a length but no tag.
//!
//! Source: protocol chapter, "Message Formats": StartupMessage, SSLRequest,
//! GSSENCRequest, CancelRequest.

use std::collections::BTreeSet;

use super::frame::cstr;
use super::login::{MAX_KEY, MIN_KEY, Version};
use super::setting::PROTOCOL_OPTION;

/// Postgres' own cap (MAX_STARTUP_PACKET_LENGTH): nobody is authenticated yet,
/// so nothing larger is ever read into memory.
pub const MAX_STARTUP: usize = 10_000;

pub(super) const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSSENC: u32 = 80_877_104;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartupPacket {
    Ssl,
    GssEnc,
    Cancel { pid: u32, secret: Vec<u8> },
    Startup(Startup),
}

/// StartupMessage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Startup {
    pub user: String,
    pub database: String,
    /// As asked for; see [`Version::spoken`].
    pub version: Version,
    /// `_pq_.…`, none of which is known here.
    pub protocol_options: Vec<String>,
    pub replication: Option<Replication>,
    /// `options`: command-line switches.
    pub options: Option<String>,
    /// Everything else, in the client's order, and as the client spells it: these are
    /// not settings before [`SettingName`](super::SettingName) has looked at them.
    pub parameters: Vec<(String, String)>,
}

/// `replication=…`: the session is one of a walsender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Replication {
    /// Any truth: of the whole cluster, bound to no database.
    Physical,
    /// `database`: logical, and SQL as well.
    Logical,
}

impl Replication {
    /// As ProcessStartupPacket does.
    fn read(value: &str) -> Result<Option<Self>, StartupError> {
        match boolean(value) {
            _ if value == "database" => Ok(Some(Self::Logical)),
            Some(true) => Ok(Some(Self::Physical)),
            Some(false) => Ok(None),
            None => Err(StartupError::Replication),
        }
    }

    /// Its value on the way to the server.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Physical => "true",
            Self::Logical => "database",
        }
    }
}

/// parse_bool (bool.c): beginnings count, where they are not ambiguous.
fn boolean(value: &str) -> Option<bool> {
    let value = value.to_ascii_lowercase();
    let begins = |word: &str, least: usize| value.len() >= least && word.starts_with(&value);
    if begins("true", 1) || begins("yes", 1) || value == "on" || value == "1" {
        Some(true)
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || value == "0" {
        Some(false)
    } else {
        None
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StartupError {
    #[error("invalid length of startup packet")]
    Length,
    #[error("unsupported frontend protocol {0}: server supports 3.0 to 3.2")]
    Version(Version),
    #[error("invalid startup packet layout: expected terminator as last byte")]
    Layout,
    /// Nobody is answered: the sender of a cancel does not listen.
    #[error("invalid length of cancel packet")]
    Cancel,
    #[error("invalid value for parameter \"replication\"")]
    Replication,
    /// Of somebody who is no load balancer that is believed.
    #[error("invalid length of startup packet")]
    ProxyHeader,
    #[error("no PostgreSQL user name specified in startup packet")]
    NoUser,
    /// Which of the two counts is a matter of opinion, so none does.
    #[error("invalid startup packet: \"{0}\" is there twice")]
    Twice(&'static str),
}

/// Bytes that follow the length word, or an error when the length cannot be.
pub fn body_length(word: [u8; 4]) -> Result<usize, StartupError> {
    let length = u32::from_be_bytes(word) as usize;
    if !(8..=MAX_STARTUP).contains(&length) {
        return Err(StartupError::Length);
    }
    Ok(length - 4)
}

impl StartupPacket {
    /// Reads what follows the length word.
    pub fn read(body: &[u8]) -> Result<Self, StartupError> {
        let (&code, rest) = body.split_first_chunk::<4>().ok_or(StartupError::Length)?;
        let code = u32::from_be_bytes(code);
        match code {
            SSL | GSSENC if !rest.is_empty() => Err(StartupError::Length),
            SSL => Ok(Self::Ssl),
            GSSENC => Ok(Self::GssEnc),
            CANCEL => match rest.split_first_chunk::<4>() {
                Some((&pid, secret)) if (MIN_KEY..=MAX_KEY).contains(&secret.len()) => {
                    Ok(Self::Cancel {
                        pid: u32::from_be_bytes(pid),
                        secret: secret.to_vec(),
                    })
                }
                _ => Err(StartupError::Cancel),
            },
            _ => match Version(code) {
                version if version.major() == 3 => Startup::read(version, rest).map(Self::Startup),
                version => Err(StartupError::Version(version)),
            },
        }
    }
}

impl Startup {
    fn read(version: Version, mut rest: &[u8]) -> Result<Self, StartupError> {
        let mut startup = Self {
            version,
            ..Self::default()
        };
        let (mut user, mut database, mut replication) = (None, None, None);
        let mut protocol_options = BTreeSet::new();
        loop {
            let name = take(&mut rest)?;
            if name.is_empty() {
                break;
            }
            let value = take(&mut rest)?;
            // As Postgres has it: these count as they are written here alone.
            match name.as_str() {
                "user" => once(&mut user, value, "user")?,
                "database" => once(&mut database, value, "database")?,
                "replication" => once(&mut replication, value, "replication")?,
                "options" => once(&mut startup.options, value, "options")?,
                _ if name.starts_with(PROTOCOL_OPTION) => {
                    if !protocol_options.insert(name.clone()) {
                        return Err(StartupError::Twice("_pq_"));
                    }
                    startup.protocol_options.push(name);
                }
                _ => startup.parameters.push((name, value)),
            }
        }
        if !rest.is_empty() {
            return Err(StartupError::Layout);
        }
        startup.user = user.filter(|u| !u.is_empty()).ok_or(StartupError::NoUser)?;
        // As Postgres does: the database defaults to the user's name.
        startup.database = database
            .filter(|d| !d.is_empty())
            .unwrap_or_else(|| startup.user.clone());
        if let Some(value) = replication {
            startup.replication = Replication::read(&value)?;
        }
        Ok(startup)
    }

    /// Whether the client has to be told that something of what it asks for is
    /// not spoken here (NegotiateProtocolVersion).
    pub fn asks_for_more(&self) -> bool {
        self.version != self.version.spoken() || !self.protocol_options.is_empty()
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .rev()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }
}

fn once(place: &mut Option<String>, value: String, name: &'static str) -> Result<(), StartupError> {
    match place.replace(value) {
        Some(_) => Err(StartupError::Twice(name)),
        None => Ok(()),
    }
}

fn take(rest: &mut &[u8]) -> Result<String, StartupError> {
    let text = cstr(rest).ok_or(StartupError::Layout)?;
    *rest = &rest[text.len() + 1..];
    Ok(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn startup(version: u32, body: &[u8]) -> Result<StartupPacket, StartupError> {
        let mut bytes = version.to_be_bytes().to_vec();
        bytes.extend(body);
        StartupPacket::read(&bytes)
    }

    #[test]
    fn a_startup_message() {
        let Ok(StartupPacket::Startup(s)) =
            startup(0x30000, b"user\0alice\0application_name\0psql\0\0")
        else {
            panic!("not a start-up message")
        };
        assert_eq!((s.user.as_str(), s.database.as_str()), ("alice", "alice"));
        assert_eq!(s.parameter("Application_Name"), Some("psql"));
        assert!(!s.asks_for_more() && s.replication.is_none());
    }

    /// Two readers of one packet must not read two things.
    #[test]
    fn what_is_there_twice_is_refused() {
        for (name, value) in [
            ("user", "a"),
            ("database", "d"),
            ("replication", "off"),
            ("options", ""),
            ("_pq_.x", "1"),
        ] {
            let body = format!("user\0a\0{name}\0{value}\0{name}\0{value}\0\0");
            let read = startup(0x30000, body.as_bytes());
            assert!(matches!(read, Err(StartupError::Twice(_))), "{name}");
        }
        // An empty one is one as well.
        let read = startup(0x30000, b"user\0\0user\0a\0\0");
        assert_eq!(read, Err(StartupError::Twice("user")));
    }

    #[test]
    fn words_of_the_protocol_count_as_they_are_written() {
        let body = b"user\0a\0User\0b\0Database\0c\0OPTIONS\0d\0Replication\0on\0\0";
        let Ok(StartupPacket::Startup(s)) = startup(0x30000, body) else {
            panic!("not a start-up message")
        };
        assert_eq!((s.user.as_str(), s.database.as_str()), ("a", "a"));
        assert!(s.replication.is_none() && s.options.is_none());
        assert_eq!(s.parameters.len(), 4);
    }

    #[test]
    fn newer_protocols_are_noted() {
        let Ok(StartupPacket::Startup(s)) = startup(
            0x30002,
            b"user\0a\0database\0d\0_pq_.x\0on\0replication\0database\0\0",
        ) else {
            panic!("not a start-up message")
        };
        assert!(s.asks_for_more() && s.replication == Some(Replication::Logical));
        assert_eq!(s.protocol_options, ["_pq_.x"]);
        for (version, more) in [
            (0x30000, false),
            (0x30001, true),
            (0x30002, false),
            (0x30003, true),
        ] {
            let Ok(StartupPacket::Startup(s)) = startup(version, b"user\0a\0\0") else {
                panic!("not a start-up message")
            };
            assert_eq!(s.asks_for_more(), more, "{}", s.version);
        }
    }

    #[test]
    fn replication_is_a_truth_or_a_database() {
        for (value, expected) in [
            ("database", Ok(Some(Replication::Logical))),
            ("TRUE", Ok(Some(Replication::Physical))),
            ("ye", Ok(Some(Replication::Physical))),
            ("on", Ok(Some(Replication::Physical))),
            ("1", Ok(Some(Replication::Physical))),
            ("of", Ok(None)),
            ("f", Ok(None)),
            ("0", Ok(None)),
            ("o", Err(StartupError::Replication)),
            ("Database", Err(StartupError::Replication)),
            ("", Err(StartupError::Replication)),
        ] {
            assert_eq!(Replication::read(value), expected, "{value}");
        }
    }

    #[test]
    fn what_is_malformed_is_refused() {
        assert_eq!(startup(0x30000, b"user\0a\0"), Err(StartupError::Layout));
        assert_eq!(startup(0x30000, b"user\0a\0\0x"), Err(StartupError::Layout));
        assert_eq!(
            startup(0x30000, b"database\0a\0\0"),
            Err(StartupError::NoUser)
        );
        let old = Version(0x20000);
        assert_eq!(startup(old.0, b""), Err(StartupError::Version(old)));
        assert_eq!(startup(SSL, b"x"), Err(StartupError::Length));
        assert_eq!(startup(CANCEL, &[0; 5]), Err(StartupError::Cancel));
        assert_eq!(startup(CANCEL, &[0; 300]), Err(StartupError::Cancel));
        for length in [0u32, 7, 10_001, u32::MAX] {
            assert_eq!(body_length(length.to_be_bytes()), Err(StartupError::Length));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = StartupPacket::read(&bytes);
        }
    }
}
