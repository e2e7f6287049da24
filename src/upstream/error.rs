//! Why a server connection could not be made.

use std::io;
use std::sync::Arc;

use crate::wire::LoginFailure;

/// Why a server connection could not be made. Addresses are `host:port/dbname`.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    #[error("cannot reach {address}: {reason}")]
    Unreachable { address: String, reason: String },
    #[error("{address} did not finish the login in time (connect_timeout)")]
    Timeout { address: String },
    #[error(
        "{address} does not speak TLS, which [database.{database}] tls demands; enable ssl on the server, or set tls = \"disable\" if the path is private"
    )]
    NoTls { address: String, database: Arc<str> },
    #[error("TLS with {address} failed: {reason}")]
    Tls {
        address: String,
        reason: String,
        /// What is wrong with the server's certificate, if that is the cause.
        certificate: Option<&'static str>,
    },
    #[error("{address}: RDS IAM authentication: {reason}")]
    Iam { address: String, reason: String },
    /// The server's own ErrorResponse.
    #[error("{address} refused the login: {sqlstate}: {message}")]
    Refused {
        address: String,
        sqlstate: String,
        message: String,
    },
    /// The server behaved as an impostor or a downgrading man in the middle would.
    #[error("{address} asked for {what}; the login was broken off{remedy}")]
    Unsafe {
        address: String,
        what: &'static str,
        remedy: &'static str,
    },
    /// The password's verifier was made with more iterations than are allowed.
    #[error(
        "{address} asks for {asked} SCRAM iterations, and {allowed} are allowed (scram_max_iterations); set the role's password again with fewer scram_iterations, or raise scram_max_iterations"
    )]
    Iterations {
        address: String,
        asked: u32,
        allowed: u32,
    },
    /// The login works, but another one of several servers is wanted.
    #[error("{address} is not {wanted}, as target_session_attrs demands")]
    NotWanted {
        address: String,
        wanted: &'static str,
    },
    #[error("{address} broke the protocol: {what}")]
    Protocol { address: String, what: &'static str },
}

impl ConnectError {
    pub(super) fn io(address: &str, error: &io::Error) -> Self {
        Self::Unreachable {
            address: address.to_owned(),
            reason: error.to_string(),
        }
    }

    /// Whether the server judged the *credential*: invalid_password (28P01), or
    /// invalid_authorization_specification (28000, also pg_hba.conf and RDS IAM).
    /// That says nothing about the health of the host.
    pub fn is_authentication(&self) -> bool {
        matches!(self, Self::Refused { sqlstate, .. } if sqlstate == "28P01" || sqlstate == "28000")
    }

    /// Whether another server may let us in. After a refusal of the credential, or
    /// what looks like an impostor, the next server is not asked.
    pub(super) fn is_of_the_place(&self) -> bool {
        !self.is_authentication() && !matches!(self, Self::Unsafe { .. } | Self::Iterations { .. })
    }

    /// Whether a later attempt may work although nothing is changed: the server is
    /// away, starts, ends, or has no room. What the configuration or the server
    /// would have to be changed for does not pass.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::NotWanted { .. } => true,
            Self::Refused { sqlstate, .. } => {
                // Insufficient resources, connection exceptions, and a server that
                // shuts down, has crashed or does not accept connections yet.
                sqlstate.starts_with("53")
                    || sqlstate.starts_with("08")
                    || matches!(sqlstate.as_str(), "57P01" | "57P02" | "57P03")
            }
            Self::NoTls { .. }
            | Self::Tls { .. }
            | Self::Iam { .. }
            | Self::Unsafe { .. }
            | Self::Iterations { .. }
            | Self::Protocol { .. } => false,
        }
    }

    /// What a client may know of the error.
    pub fn failure(&self) -> LoginFailure {
        match self {
            Self::Unreachable { .. } => LoginFailure::Unreachable,
            Self::Timeout { .. } => LoginFailure::Slow,
            Self::NoTls { .. } => LoginFailure::NoTls,
            Self::Tls { certificate, .. } => {
                certificate.map_or(LoginFailure::Tls, LoginFailure::Certificate)
            }
            Self::Iam { .. } => LoginFailure::Unusable,
            Self::Unsafe { .. } | Self::Protocol { .. } => LoginFailure::Unsafe,
            Self::Refused { sqlstate, .. } => LoginFailure::from_sqlstate(sqlstate),
            &Self::Iterations { asked, allowed, .. } => LoginFailure::Iterations { asked, allowed },
            Self::NotWanted { .. } => LoginFailure::NotWanted,
        }
    }

    /// The server's SQLSTATE, or 08006 (connection_failure) where it gave none.
    pub fn sqlstate(&self) -> &str {
        match self {
            Self::Refused { sqlstate, .. } if !sqlstate.is_empty() => sqlstate,
            _ => "08006",
        }
    }
}
