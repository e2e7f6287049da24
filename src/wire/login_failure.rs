//! What a client may know of a login to the server that failed.
//!
//! The server's own text never reaches a client. What that text means does: its kind, with the
//! SQLSTATE that Postgres has for it, and what to do.

use std::fmt;

/// Why no login to a server works, as far as a client may know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginFailure {
    /// What the configuration or the secret says of host, TLS or IAM cannot be used.
    Unusable,
    /// Nobody answers: refused, reset, no such name, no route.
    Unreachable,
    /// The server began a login, and did not finish it in time.
    Slow,
    /// The server has no TLS, which the configuration demands.
    NoTls,
    /// The server's certificate is not accepted; the words say why.
    Certificate(&'static str),
    /// TLS failed for another reason.
    Tls,
    /// The server asked for something that an impostor would ask for.
    Unsafe,
    /// The verifier of the password has too many iterations.
    Iterations { asked: u32, allowed: u32 },
    /// No server is what `target_session_attrs` demands.
    NotWanted,
    /// 3D000
    NoDatabase,
    /// 42501: the role may not connect to the database.
    NoConnectRight,
    /// 53300: the server, the role or the database has its most connections.
    Full,
    /// 57P03
    Starting,
    /// 28P01
    Password,
    /// 28000: pg_hba.conf, NOLOGIN, the instance's IAM settings.
    Rules,
    /// The server's SQLSTATE, for a reason that is not in this list.
    Other(Code),
}

/// A SQLSTATE that a server sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code([u8; 5]);

impl Code {
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl LoginFailure {
    /// What the SQLSTATE of a server's refusal means.
    pub fn from_sqlstate(sqlstate: &str) -> Self {
        match sqlstate {
            "3D000" => Self::NoDatabase,
            "42501" => Self::NoConnectRight,
            "53300" => Self::Full,
            "57P03" => Self::Starting,
            "28P01" => Self::Password,
            "28000" => Self::Rules,
            other => match other.as_bytes().try_into() {
                Ok(code) if other.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                    Self::Other(Code(code))
                }
                // No server that can be trusted says so.
                _ => Self::Unsafe,
            },
        }
    }

    /// The SQLSTATE that the client gets.
    pub(super) fn sqlstate(&self) -> &'static str {
        match self {
            Self::NoDatabase => "3D000",
            Self::NoConnectRight => "42501",
            Self::Full => "53300",
            Self::Starting | Self::Other(_) => "57P03",
            // Not 28P01: it is not the client's password.
            Self::Password | Self::Rules => "57P03",
            _ => "08006",
        }
    }

    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Unusable => {
                "The log and /status of pgvalet name the cause, such as a host that is not set or a file of tls."
            }
            Self::Unreachable => "pgvalet keeps trying; look at its log and /status for the cause.",
            Self::Slow => "Look at the load of the server and at connect_timeout of the database.",
            Self::NoTls => {
                "Set ssl = on on the server, or tls = \"disable\" for the database if the path is private."
            }
            Self::Certificate(_) => "Look at tls, tls_ca and tls_crl of the database.",
            Self::Tls | Self::Unsafe | Self::Other(_) => {
                "The log and /status of pgvalet name the cause."
            }
            Self::Iterations { .. } => {
                "Set the role's password again with fewer scram_iterations, or raise scram_max_iterations of the database."
            }
            Self::NotWanted => "Look at host and target_session_attrs of the database.",
            Self::NoDatabase => "Create it on the server, or look at dbname of the database.",
            Self::NoConnectRight => "GRANT CONNECT ON DATABASE … TO the role in the secret.",
            Self::Full => {
                "Raise max_connections of the server or the CONNECTION LIMIT of role and database, or lower pool_size."
            }
            Self::Starting => "pgvalet keeps trying.",
            Self::Password => {
                "Set the role's password to that of the secret, or store the right one; pgvalet follows without a restart."
            }
            Self::Rules => "Look at pg_hba.conf, and whether the role has LOGIN.",
        }
    }

    /// Why a version of a secret does not log in, as the end of a sentence.
    pub(super) fn of_version(&self) -> String {
        match self {
            Self::Password => "the server refuses the password (28P01)".to_owned(),
            Self::Rules => {
                "the server's access rules refuse the user, whatever the password is (28000)"
                    .to_owned()
            }
            other => format!("the server {other}"),
        }
    }
}

/// The end of a sentence that begins with the server.
impl fmt::Display for LoginFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unusable => "cannot be reached with this configuration",
            Self::Unreachable => "cannot be reached",
            Self::Slow => "does not finish logins in time",
            Self::NoTls => "has no TLS, which the configuration demands",
            Self::Certificate(why) => return write!(f, "shows a certificate that {why}"),
            Self::Tls => "cannot be reached over TLS",
            Self::Unsafe => "asked for something unsafe, so that the login was broken off",
            Self::Iterations { asked, allowed } => {
                return write!(
                    f,
                    "asks for {asked} SCRAM iterations, and {allowed} are allowed"
                );
            }
            Self::NotWanted => "is not what target_session_attrs demands",
            Self::NoDatabase => "has no such database",
            Self::NoConnectRight => "does not let the role connect to the database",
            Self::Full => "has too many connections already",
            Self::Starting => "is starting up or shutting down",
            Self::Password => "refused the connection (SQLSTATE 28P01)",
            Self::Rules => "refused the connection (SQLSTATE 28000)",
            Self::Other(code) => {
                return write!(f, "refused the connection (SQLSTATE {})", code.as_str());
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_cannot_write_into_a_client_s_error() {
        for odd in ["", "5500", "55000 x", "5\n000", "ü000"] {
            assert_eq!(
                LoginFailure::from_sqlstate(odd),
                LoginFailure::Unsafe,
                "{odd:?}"
            );
        }
        let other = LoginFailure::from_sqlstate("55000");
        assert_eq!(other.to_string(), "refused the connection (SQLSTATE 55000)");
    }
}
