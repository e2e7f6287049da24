//! The keys of `[listen]` that say who is believed and how many may knock at once.

use std::path::PathBuf;

use ipnet::IpNet;

use super::file::Section;
use super::values::{network, word};
use crate::base::nonempty;
use crate::net::{ClientCa, ListenAddress, is_loopback};
use crate::session::{Guard, Revoke};

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
