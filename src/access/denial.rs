//! Why a client is not let in: for each reason its code, its words, and what the
//! client is told.

use std::sync::Arc;

use super::token::Rejected;
use crate::net::Distrust;
use crate::wire::ClientError;
use crate::wire::startup::StartupError;

/// The reason for a denial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    // The rules.
    UnknownDatabase,
    NoRule,
    /// A rule asks for a token, or a caller of AWS, and what the client presented
    /// proves nothing.
    Token(Rejected),

    // The handshake.
    HandshakeTimeout,
    TooManyHandshakes,
    /// The PROXY header of a load balancer is missing or malformed.
    ProxyHeader,
    /// What the client sent is no handshake.
    Malformed,
    Startup(StartupError),
    TlsRequired,
    /// The TLS handshake failed, by whoever's fault.
    Tls,
    Certificate(Distrust),
    /// A cancel request with a key that no session has.
    CancelKey,

    // The beginning of the session.
    /// There are no descriptors left for clients.
    NoDescriptors,
    TooManyClients,
    /// The database has as many clients as its `max_clients`.
    TooManyClientsOf(Arc<str>),
    /// An administrator has disabled this database.
    Disabled(Arc<str>),
    /// A parameter of the start-up packet, with what the client is told of it.
    Parameter(ClientError),
    /// The rules and the pools are not of one configuration.
    NoPool,
    NoRandomNumbers,
    /// There can be no record of the session.
    Audit,
}

impl Denial {
    /// The name of the reason in audit records, metrics and JSON. Other programs rely on the names,
    /// which are never changed.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownDatabase => "unknown_database",
            Self::NoRule => "no_rule",
            Self::Token(rejected) => rejected.code(),
            Self::HandshakeTimeout => "handshake_timeout",
            Self::TooManyHandshakes => "too_many_handshakes",
            Self::ProxyHeader | Self::Startup(StartupError::ProxyHeader) => "proxy_header",
            Self::Malformed | Self::Startup(_) => "malformed",
            Self::TlsRequired => "tls_required",
            Self::Tls => "tls",
            Self::Certificate(distrust) => distrust.reason(),
            Self::CancelKey => "cancel_key",
            Self::NoDescriptors => "no_descriptors",
            Self::TooManyClients | Self::TooManyClientsOf(_) => "too_many_clients",
            Self::Disabled(_) => "disabled",
            Self::Parameter(_) => "parameter",
            Self::NoPool => "no_pool",
            Self::NoRandomNumbers => "no_random_numbers",
            Self::Audit => "audit",
        }
    }

    /// The reason in words, for the operator.
    pub fn words(&self) -> &'static str {
        match self {
            Self::UnknownDatabase => "there is no database of this name",
            Self::NoRule => "no rule lets this client use the database",
            Self::Token(rejected) => rejected.words(),
            Self::HandshakeTimeout => "the handshake took longer than [listen] handshake_timeout",
            Self::TooManyHandshakes => "too many handshakes are under way",
            Self::ProxyHeader => "the load balancer sent no valid PROXY header",
            Self::Startup(StartupError::ProxyHeader) => {
                "a PROXY header came from an address that is not in [listen] proxy_protocol"
            }
            Self::Malformed => "the client sent something that is no handshake",
            Self::Startup(_) => "the start-up packet cannot be used",
            Self::TlsRequired => "the client does not use TLS, which [listen] tls requires",
            Self::Tls => "the TLS handshake failed",
            Self::Certificate(distrust) => certificate(*distrust),
            Self::CancelKey => "no session has the key of this cancel request",
            Self::NoDescriptors => "the limit of open files leaves no room for more clients",
            Self::TooManyClients => "max_clients of [listen] or of the rule is reached",
            Self::TooManyClientsOf(_) => "max_clients of the database is reached",
            Self::Disabled(_) => "an administrator has disabled the database",
            Self::Parameter(_) => "a parameter of the start-up packet cannot be used",
            Self::NoPool => "there is no pool for this database and secret",
            Self::NoRandomNumbers => "the system has no random numbers for a cancel key",
            Self::Audit => "the audit log cannot be written",
        }
    }

    /// What the client is told, with its SQLSTATE; `None` if the connection ends
    /// without a word, because the client may not speak the protocol at all.
    ///
    /// All reasons that lie in the rules have one answer, so that nothing can be
    /// enumerated.
    pub fn answer(&self) -> Option<ClientError> {
        match self {
            Self::UnknownDatabase | Self::NoRule | Self::Token(_) | Self::NoPool => {
                Some(ClientError::Denied(None))
            }
            Self::Startup(error) => Some(ClientError::Startup(*error)),
            Self::TlsRequired => Some(ClientError::TlsRequired),
            Self::TooManyClients | Self::NoDescriptors => Some(ClientError::TooManyClients),
            Self::TooManyClientsOf(database) => {
                Some(ClientError::TooManyClientsOf(database.clone()))
            }
            Self::Disabled(database) => Some(ClientError::Disabled(database.clone())),
            Self::Parameter(error) => Some(error.clone()),
            Self::NoRandomNumbers => Some(ClientError::NoRandomNumbers),
            Self::Audit => Some(ClientError::AuditUnavailable),
            Self::HandshakeTimeout
            | Self::TooManyHandshakes
            | Self::ProxyHeader
            | Self::Malformed
            | Self::Tls
            | Self::Certificate(_)
            | Self::CancelKey => None,
        }
    }
}

fn certificate(distrust: Distrust) -> &'static str {
    match distrust {
        Distrust::Expired => "the client's certificate has expired",
        Distrust::NotYetValid => "the client's certificate is not valid yet",
        Distrust::Revoked => "the client's certificate was revoked",
        Distrust::UnknownIssuer => {
            "the client's certificate is not from a CA of [listen] client_ca"
        }
        Distrust::Purpose => "the client's certificate is not made for clients",
        Distrust::RevocationUnknown => {
            "[listen] client_crl is out of date, or does not cover the issuer of the client's certificate"
        }
        Distrust::Invalid => "the client's certificate is not valid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that the rules do not let in cannot tell why.
    #[test]
    fn all_reasons_of_the_rules_have_one_answer() {
        for denial in [
            Denial::UnknownDatabase,
            Denial::NoRule,
            Denial::NoPool,
            Denial::Token(Rejected::Expired),
        ] {
            assert_eq!(
                denial.answer(),
                Some(ClientError::Denied(None)),
                "{denial:?}"
            );
        }
    }

    #[test]
    fn codes_are_a_contract() {
        let parameter = ClientError::BadParameter("x".into());
        for (denial, code, sqlstate) in [
            (Denial::UnknownDatabase, "unknown_database", Some("28000")),
            (Denial::NoRule, "no_rule", Some("28000")),
            (Denial::Token(Rejected::Missing), "no_token", Some("28000")),
            (Denial::HandshakeTimeout, "handshake_timeout", None),
            (Denial::TooManyHandshakes, "too_many_handshakes", None),
            (Denial::ProxyHeader, "proxy_header", None),
            (
                Denial::Startup(StartupError::ProxyHeader),
                "proxy_header",
                Some("08P01"),
            ),
            (Denial::Malformed, "malformed", None),
            (
                Denial::Startup(StartupError::NoUser),
                "malformed",
                Some("08P01"),
            ),
            (Denial::TlsRequired, "tls_required", Some("28000")),
            (Denial::Tls, "tls", None),
            (
                Denial::Certificate(Distrust::Expired),
                "certificate_expired",
                None,
            ),
            (Denial::CancelKey, "cancel_key", None),
            (Denial::TooManyClients, "too_many_clients", Some("53300")),
            (Denial::NoDescriptors, "no_descriptors", Some("53300")),
            (
                Denial::TooManyClientsOf("orders".into()),
                "too_many_clients",
                Some("53300"),
            ),
            (Denial::Disabled("orders".into()), "disabled", Some("57P03")),
            (Denial::Parameter(parameter), "parameter", Some("22023")),
            (Denial::NoPool, "no_pool", Some("28000")),
            (Denial::NoRandomNumbers, "no_random_numbers", Some("XX000")),
            (Denial::Audit, "audit", Some("57P03")),
        ] {
            assert_eq!(denial.code(), code);
            let told = denial.answer().map(|error| error.sqlstate().0);
            assert_eq!(told, sqlstate, "{denial:?}");
        }
    }
}
