//! `[[audit.sink]]`.

use std::path::PathBuf;
use std::time::Duration;

use super::target::SinkKind;

/// The options of one sink.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkOptions {
    /// Its name in metrics, and of the file that says how far it is.
    pub name: String,
    pub kind: SinkKind,
    pub what: What,
    pub format: Format,
    /// How long records are gathered before they are sent.
    pub interval: Duration,
}

/// The modes of S3's object lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    Governance,
    Compliance,
}

/// Where a syslog server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyslogAddress {
    Unix(PathBuf),
    /// `host:port`.
    Udp(String),
    Tcp(String),
    Tls(String),
}

impl SyslogAddress {
    /// Reads `unix:/dev/log`, `udp://host:514`, `tcp://host:601` or `tls://host:6514`.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no address of a syslog server; write \"unix:/dev/log\", \"udp://HOST:514\", \"tcp://HOST:601\" or \"tls://HOST:6514\""
            )
        };
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.starts_with('/') {
                true => Ok(Self::Unix(path.into())),
                false => Err(wrong()),
            };
        }
        let (scheme, address) = text.split_once("://").ok_or_else(wrong)?;
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(wrong());
        }
        match scheme {
            "udp" => Ok(Self::Udp(address.to_owned())),
            "tcp" => Ok(Self::Tcp(address.to_owned())),
            "tls" => Ok(Self::Tls(address.to_owned())),
            _ => Err(wrong()),
        }
    }
}

/// What a sink gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Records,
    Checkpoints,
    All,
}

impl What {
    pub(super) fn includes(self, is_checkpoint: bool) -> bool {
        match self {
            Self::All => true,
            Self::Records => !is_checkpoint,
            Self::Checkpoints => is_checkpoint,
        }
    }
}

/// The form in which a sink gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The line, as it stands in the log.
    Pgvalet,
    /// An event of the Open Cybersecurity Schema Framework.
    Ocsf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_syslog_servers() {
        let parse = SyslogAddress::parse;
        assert_eq!(
            parse("unix:/dev/log"),
            Ok(SyslogAddress::Unix("/dev/log".into()))
        );
        assert_eq!(
            parse("tls://h:6514"),
            Ok(SyslogAddress::Tls("h:6514".into()))
        );
        assert_eq!(
            parse("udp://[::1]:514"),
            Ok(SyslogAddress::Udp("[::1]:514".into()))
        );
        for wrong in [
            "",
            "h:514",
            "unix:log",
            "tcp://h",
            "tcp://:1",
            "http://h:80",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
