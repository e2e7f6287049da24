//! `[listen]`: where clients connect, who is believed, and how many may connect at once.

use ipnet::IpNet;

use super::address::{listen_address, with_ports};
use super::section::Section;
use super::values::{mode, network, user};
use super::{Listen, ListenTls};
use crate::net::{ClientCa, ListenAddress, is_loopback};
use crate::session::{Guard, Reception, Revoke};

pub(super) fn listen(mut s: Section<'_, '_>) -> Listen {
    let listen = Listen {
        addresses: addresses(&mut s),
        client_ca: client_ca(&mut s),
        tls: tls(&mut s),
        max_clients: s.number("max_clients").unwrap_or_default(),
        reception: Reception {
            proxy_protocol: s.list("proxy_protocol", balancers).unwrap_or_default(),
            handshake_timeout: s.duration("handshake_timeout"),
        },
        shutdown_timeout: s.duration("shutdown_timeout"),
        drain_delay: s.duration("drain_delay"),
        upgrade_timeout: s.duration("upgrade_timeout"),
        reuse_port: s.boolean("reuse_port"),
        wait_notice: s.duration("wait_notice"),
        socket_mode: s.text("socket_mode", mode).unwrap_or_default(),
        socket_owner: s.value("socket_owner", user),
        socket_group: s.value("socket_group", user),
        revoke: s.choice("revoke", [("idle", Revoke::Idle), ("now", Revoke::Now)]),
        guard: guard(&mut s),
        allow_untrusted_networks: s.boolean("allow_untrusted_networks"),
        user: s.value("user", user),
    };
    s.finish();
    listen
}

fn addresses(s: &mut Section<'_, '_>) -> Vec<ListenAddress> {
    let written = s.list("address", listen_address).unwrap_or_default();
    let addresses = with_ports(written);
    let twice = |i: usize, a: &ListenAddress| addresses[..i].contains(a);
    if addresses.iter().enumerate().any(|(i, a)| twice(i, a)) {
        s.wrong("the same address stands twice; remove one");
    }
    addresses
}

fn tls(s: &mut Section<'_, '_>) -> ListenTls {
    #[derive(Clone, Copy)]
    enum Mode {
        Off,
        Allow,
        Require,
    }
    let words = [
        ("off", Mode::Off),
        ("allow", Mode::Allow),
        ("require", Mode::Require),
    ];
    let mode = s.word("tls", &words);
    let nothing_written = !s.has("certificate") && !s.has("key");
    let pair = s.pair("certificate", "key");
    match (mode, pair) {
        (None | Some(Mode::Allow), Some((certificate, key))) => {
            ListenTls::Allow { certificate, key }
        }
        (Some(Mode::Require), Some((certificate, key))) => ListenTls::Require { certificate, key },
        (Some(Mode::Off), _) | (None, None) => ListenTls::Off,
        (Some(Mode::Allow | Mode::Require), None) => {
            if nothing_written {
                s.wrong("tls needs a certificate; add certificate = \"FILE\" and key = \"FILE\"");
            }
            ListenTls::Off
        }
    }
}

/// The authorities for certificates of clients. This is read before the certificate of the
/// listener is taken, because without that there is no TLS.
fn client_ca(s: &mut Section<'_, '_>) -> Option<ClientCa> {
    if s.has("client_ca") && !s.has("certificate") {
        s.wrong("client_ca needs TLS, because certificates come by it; add certificate and key");
    }
    if s.has("client_crl") && !s.has("client_ca") {
        s.wrong("client_crl needs the CA whose certificates it revokes; add client_ca = \"FILE\"");
    }
    let ca = s.path("client_ca");
    let crl = s.paths("client_crl");
    Some(ClientCa { ca: ca?, crl })
}

fn guard(s: &mut Section<'_, '_>) -> Guard {
    let per_address_is_written = s.has("max_handshakes_per_address");
    let guard = Guard {
        max_handshakes: s.number("max_handshakes").unwrap_or_default(),
        max_handshakes_per_address: s.number("max_handshakes_per_address").unwrap_or_default(),
        denials_per_second: s.number("denials_per_second").unwrap_or_default(),
    };
    if guard.max_handshakes_per_address > guard.max_handshakes && per_address_is_written {
        s.wrong(format!(
            "max_handshakes_per_address {} is above max_handshakes {}; lower it",
            guard.max_handshakes_per_address, guard.max_handshakes
        ));
    }
    guard
}

/// A network whose PROXY headers are believed. Everybody in it may claim any address, so
/// "everywhere" is a mistake.
fn balancers(text: &str) -> Result<IpNet, String> {
    match network(text)? {
        net if net.prefix_len() == 0 => Err(format!(
            "{text:?} would let everybody claim any address; name the load balancers"
        )),
        net => Ok(net),
    }
}

/// Whether a listener can be reached from other machines.
pub(super) fn is_open(addresses: &[ListenAddress]) -> bool {
    addresses
        .iter()
        .any(|a| matches!(a, ListenAddress::Tcp { host, .. } if !is_loopback(host)))
}
