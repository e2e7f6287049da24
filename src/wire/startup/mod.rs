//! The first packet of a connection, which has a length but no tag.
//!
//! Source: protocol chapter, "Message Formats": StartupMessage, SSLRequest,
//! GSSENCRequest, CancelRequest.

mod replication;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use super::frame::cstr;
use super::login::{MAX_KEY, MIN_KEY, Version};
use super::setting::PROTOCOL_OPTION;
pub use replication::Replication;

/// The longest packet in bytes, as in Postgres (MAX_STARTUP_PACKET_LENGTH). Nobody is
/// authenticated yet, so nothing longer is read into memory.
pub const MAX_STARTUP: usize = 10_000;

pub(super) const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSSENC: u32 = 80_877_104;

/// What a first packet is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartupPacket {
    Ssl,
    GssEnc,
    Cancel { pid: u32, secret: Vec<u8> },
    Startup(Startup),
}

/// What StartupMessage says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Startup {
    pub user: String,
    pub database: String,
    /// The version that the client asks for; see [`Version::spoken`].
    pub version: Version,
    /// Names that begin with `_pq_.`; pgvalet knows none of them.
    pub protocol_options: Vec<String>,
    pub replication: Option<Replication>,
    /// The `options` parameter: command-line switches.
    pub options: Option<String>,
    /// All other parameters in the client's order and spelling. They are not settings until
    /// [`SettingName`](super::SettingName) has checked their names.
    pub parameters: Vec<(String, String)>,
}

/// Why a first packet is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StartupError {
    #[error("invalid length of startup packet")]
    Length,
    #[error("unsupported frontend protocol {0}: server supports 3.0 to 3.2")]
    Version(Version),
    #[error("invalid startup packet layout: expected terminator as last byte")]
    Layout,
    /// The sender of a CancelRequest reads no answer, so that this error is not told.
    #[error("invalid length of cancel packet")]
    Cancel,
    #[error("invalid value for parameter \"replication\"")]
    Replication,
    /// A PROXY header from an address outside `[listen] proxy_protocol`.
    #[error("invalid length of startup packet")]
    ProxyHeader,
    #[error("no PostgreSQL user name specified in startup packet")]
    NoUser,
    /// A parameter is there twice. Programs disagree on which of the two counts, so neither does.
    #[error("invalid startup packet: \"{0}\" is there twice")]
    Twice(&'static str),
}

/// The number of bytes that follow the length word.
///
/// # Errors
/// [`StartupError::Length`]: no packet has this length.
pub fn body_length(word: [u8; 4]) -> Result<usize, StartupError> {
    let length = u32::from_be_bytes(word) as usize;
    if !(8..=MAX_STARTUP).contains(&length) {
        return Err(StartupError::Length);
    }
    Ok(length - 4)
}

impl StartupPacket {
    /// Reads the bytes that follow the length word.
    ///
    /// # Errors
    /// [`StartupError`]
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
            // As in Postgres, only this spelling counts.
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
        // As in Postgres, the database defaults to the user's name.
        startup.database = database
            .filter(|d| !d.is_empty())
            .unwrap_or_else(|| startup.user.clone());
        if let Some(value) = replication {
            startup.replication = Replication::read(&value)?;
        }
        Ok(startup)
    }

    /// Whether the client asks for a version or an option that pgvalet does not have, and
    /// has to be told so (NegotiateProtocolVersion).
    pub fn asks_for_more(&self) -> bool {
        self.version != self.version.spoken() || !self.protocol_options.is_empty()
    }

    /// The last value of a parameter, whatever the case of its name.
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
