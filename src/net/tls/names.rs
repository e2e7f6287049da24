//! Whether a certificate was issued for a host, by the rules of libpq.
//!
//! * A name in subjectAltName counts, and so does the common name if subjectAltName has
//!   no name of the host's kind (DNS name or IP address).
//! * `*` stands for one label, the first one: `*.example.com` is for `db.example.com`, and
//!   neither for `example.com` nor for `a.db.example.com`.
//!
//! One thing is stricter than in libpq: `*` never stands for a part of an IP address.

use std::net::IpAddr;

use rustls::pki_types::ServerName;
use x509_parser::prelude::{GeneralName, X509Certificate};

/// Whether the certificate is for this host. `common_name`: whether the common name may
/// count.
pub(super) fn is_for(
    certificate: &X509Certificate<'_>,
    host: &ServerName<'_>,
    common_name: bool,
) -> bool {
    let ip = match host {
        ServerName::IpAddress(ip) => Some(IpAddr::from(*ip)),
        _ => None,
    };
    let text = host.to_str();
    let mut same_kind = false;
    for name in alternative(certificate) {
        match name {
            GeneralName::DNSName(name) => {
                same_kind |= ip.is_none();
                if matches(name, &text, ip) {
                    return true;
                }
            }
            GeneralName::IPAddress(bytes) => {
                same_kind |= ip.is_some();
                if ip.is_some_and(|ip| octets(ip) == *bytes) {
                    return true;
                }
            }
            _ => {}
        }
    }
    let counts = common_name && !same_kind;
    counts && first_common_name(certificate).is_some_and(|name| matches(name, &text, ip))
}

/// The names of the certificate, for a message.
pub(super) fn presented(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names = alternative(certificate).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => ip(bytes).map(|ip| ip.to_string()),
        _ => None,
    });
    let common = first_common_name(certificate).map(|name| format!("CN={name}"));
    names.chain(common).collect()
}

fn alternative<'a>(
    certificate: &'a X509Certificate<'a>,
) -> impl Iterator<Item = &'a GeneralName<'a>> {
    let extension = certificate.subject_alternative_name().ok().flatten();
    extension
        .into_iter()
        .flat_map(|extension| &extension.value.general_names)
}

fn first_common_name<'a>(certificate: &'a X509Certificate<'a>) -> Option<&'a str> {
    let name = certificate.subject().iter_common_name().next()?;
    std::str::from_utf8(name.as_slice()).ok()
}

/// Whether a name of a certificate is the host's. `ip`: the host, if it is an address.
fn matches(name: &str, host: &str, ip: Option<IpAddr>) -> bool {
    if name.eq_ignore_ascii_case(host) {
        return true;
    }
    let (Some(rest), None) = (name.strip_prefix("*."), ip) else {
        return false;
    };
    let of_host = host.split_once('.');
    of_host.is_some_and(|(label, domain)| {
        !label.is_empty() && !rest.is_empty() && rest.eq_ignore_ascii_case(domain)
    })
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
    use x509_parser::prelude::FromDer;

    use super::*;

    /// A certificate with a common name and other names.
    fn certificate(common: &str, names: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common);
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.parse() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => SanType::DnsName((*name).try_into().expect("a name")),
            })
            .collect();
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("made").der().to_vec()
    }

    #[test]
    fn names_count_as_in_libpq() {
        let cases: &[(&str, &[&str], &str, bool)] = &[
            ("db.example.com", &[], "db.example.com", true),
            ("db.example.com", &[], "DB.Example.COM", true),
            ("db.example.com", &[], "db2.example.com", false),
            ("x", &["db.example.com"], "db.example.com", true),
            // A DNS name is there, so that the common name does not count.
            (
                "db.example.com",
                &["other.example.com"],
                "db.example.com",
                false,
            ),
            ("db.example.com", &["10.0.0.1"], "db.example.com", true),
            ("*.example.com", &[], "db.example.com", true),
            ("*.example.com", &[], "a.db.example.com", false),
            ("*.example.com", &[], "example.com", false),
            ("d*.example.com", &[], "db.example.com", false),
            ("*", &[], "localhost", false),
            ("*.", &[], "db.", false),
            ("x", &["*.example.com"], "db.example.com", true),
            // Addresses.
            ("x", &["10.0.0.1"], "10.0.0.1", true),
            ("x", &["10.0.0.1"], "10.0.0.2", false),
            ("10.0.0.1", &[], "10.0.0.1", true),
            ("10.0.0.1", &["db.example.com"], "10.0.0.1", true),
            ("10.0.0.1", &["10.0.0.2"], "10.0.0.1", false),
            ("*.0.0.1", &[], "10.0.0.1", false),
            ("x", &["::1"], "::1", true),
        ];
        for (common, names, host, expected) in cases {
            let der = certificate(common, names);
            let (_, parsed) = X509Certificate::from_der(&der).expect("a certificate");
            let Ok(name) = ServerName::try_from(*host) else {
                assert!(!expected, "{host}");
                continue;
            };
            let found = is_for(&parsed, &name, true);
            assert_eq!(found, *expected, "{common} {names:?} {host}");
            if names.is_empty() {
                assert!(!is_for(&parsed, &name, false), "{common} {host}");
            }
        }
    }
}
