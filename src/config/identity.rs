//! What a client's certificate is called, and the keys of `[listen]` that say
//! who is believed and how many may knock at once.

use std::fmt;
use std::path::PathBuf;

use ipnet::IpNet;

use super::ListenAddress;
use super::file::Section;
use super::values::is_loopback;
use super::values::{network, nonempty, word};

/// A name in a client's certificate. Compared as a whole: there are no
/// wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateName {
    /// The URI among the subject's alternative names: a SPIFFE ID, or any other.
    Uri(String),
    /// A DNS name among them, in lower case.
    Dns(String),
    /// The subject's common name.
    CommonName(String),
}

impl CertificateName {
    pub fn parse(text: &str) -> Result<Self, String> {
        nonempty(text)?;
        match text.split_once(':') {
            Some(("cn", name)) if !name.is_empty() => Ok(Self::CommonName(name.to_owned())),
            Some(("dns", name)) if !name.is_empty() && !name.contains('*') => {
                Ok(Self::Dns(name.to_ascii_lowercase()))
            }
            Some((scheme, rest)) if !scheme.is_empty() && rest.starts_with("//") => {
                Ok(Self::Uri(text.to_owned()))
            }
            _ => Err(format!(
                "{text:?} names no certificate; write \"spiffe://…\", \"dns:NAME\" or \"cn:NAME\", in full"
            )),
        }
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(uri) => f.write_str(uri),
            Self::Dns(name) => write!(f, "dns:{name}"),
            Self::CommonName(name) => write!(f, "cn:{name}"),
        }
    }
}

/// Whose certificates are accepted of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCa {
    /// PEM, one or more roots.
    pub ca: PathBuf,
    /// PEM, one list for every CA of a chain; none at all: nothing is revoked.
    pub crl: Vec<PathBuf>,
}

/// When a session ends whose access has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Revoke {
    /// Between transactions.
    #[default]
    Idle,
    Now,
}

/// How many may knock at once, before pgvalet knows who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// Handshakes at once, of everybody together and of one address.
    pub max_handshakes: usize,
    pub max_handshakes_per_address: usize,
    /// How many denials of one address have a record of their own, a second.
    pub denials_per_second: u32,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            max_handshakes: 2000,
            max_handshakes_per_address: 200,
            denials_per_second: 20,
        }
    }
}

pub(super) fn client_ca(s: &mut Section<'_, '_>, has_certificate: bool) -> Option<ClientCa> {
    let (has_ca, has_crl) = (s.has("client_ca"), s.has("client_crl"));
    let ca = s.path("client_ca");
    let crl = s.list("client_crl", |text| nonempty(text).map(PathBuf::from));
    if has_ca && !has_certificate {
        s.wrong("client_ca needs TLS, because certificates come by it; add certificate and key");
    }
    if has_crl && !has_ca {
        s.wrong("client_crl needs the CA whose certificates it revokes; add client_ca = \"FILE\"");
    }
    Some(ClientCa {
        ca: ca?,
        crl: crl.unwrap_or_default(),
    })
}

pub(super) fn guard(s: &mut Section<'_, '_>) -> Guard {
    let default = Guard::default();
    let per_address_is_written = s.has("max_handshakes_per_address");
    let guard = Guard {
        max_handshakes: s.size("max_handshakes", default.max_handshakes, 1..1_000_001),
        max_handshakes_per_address: s.size(
            "max_handshakes_per_address",
            default.max_handshakes_per_address,
            1..1_000_001,
        ),
        denials_per_second: s
            .integer("denials_per_second", 1..1_000_001)
            .and_then(|n| n.try_into().ok())
            .unwrap_or(default.denials_per_second),
    };
    if guard.max_handshakes_per_address > guard.max_handshakes && per_address_is_written {
        s.wrong(format!(
            "max_handshakes_per_address {} is above max_handshakes {}; lower it",
            guard.max_handshakes_per_address, guard.max_handshakes
        ));
    }
    guard
}

/// Networks whose PROXY headers are believed. Everybody in them may claim any
/// address, so "everywhere" is a mistake.
pub(super) fn proxy_protocol(s: &mut Section<'_, '_>) -> Vec<IpNet> {
    let read = |text: &str| match network(text)? {
        net if net.prefix_len() == 0 => Err(format!(
            "{text:?} would let everybody claim any address; name the load balancers"
        )),
        net => Ok(net),
    };
    s.list("proxy_protocol", read).unwrap_or_default()
}

pub(super) fn revoke(s: &mut Section<'_, '_>) -> Revoke {
    let words = [("idle", Revoke::Idle), ("now", Revoke::Now)];
    s.text("revoke", |text| word(text, &words))
        .unwrap_or_default()
}

/// Whether a listener can be reached from other machines.
pub(super) fn is_open(addresses: &[ListenAddress]) -> bool {
    addresses
        .iter()
        .any(|a| matches!(a, ListenAddress::Tcp { host, .. } if !is_loopback(host)))
}
