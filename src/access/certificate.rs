//! The certificate a client has shown, and the names in it.

use std::sync::Arc;

use aws_lc_rs::digest;
use chrono::{DateTime, Utc};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::*;

use crate::access::CertificateName;
use crate::base::hex;

/// A certificate whose chain and possession have been proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// URIs and DNS names among the subject's alternative names; DNS names in lower
    /// case.
    uris: Vec<String>,
    dns: Vec<String>,
    /// The common name, if there is exactly one.
    common_name: Option<String>,
    pub subject: Arc<str>,
    pub issuer: Arc<str>,
    /// SHA-256 of the whole certificate, in hexadecimal.
    pub sha256: Arc<str>,
    /// The moment at which the first certificate of the chain expires.
    pub not_after: DateTime<Utc>,
    /// The chain as it was shown, to be checked again when the trust changes.
    pub chain: Arc<[CertificateDer<'static>]>,
}

impl Certificate {
    /// Reads the first certificate of a chain, which is the client's own; `None` if it
    /// cannot be read.
    pub fn read(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let own = chain.first()?;
        let (_, parsed) = X509Certificate::from_der(own).ok()?;
        let (mut uris, mut dns) = (Vec::new(), Vec::new());
        if let Some(names) = parsed.subject_alternative_name().ok()? {
            for name in &names.value.general_names {
                match name {
                    GeneralName::URI(uri) => uris.push((*uri).to_owned()),
                    GeneralName::DNSName(name) => dns.push(name.to_ascii_lowercase()),
                    _ => {}
                }
            }
        }
        let mut common_names = parsed.subject().iter_common_name();
        let common_name = match (common_names.next(), common_names.next()) {
            (Some(only), None) => only.as_str().ok().map(str::to_owned),
            // With several, none can be told to be the name.
            _ => None,
        };
        let ends = chain.iter().filter_map(|c| {
            let (_, c) = X509Certificate::from_der(c).ok()?;
            DateTime::from_timestamp(c.validity().not_after.timestamp(), 0)
        });
        let hash = digest::digest(&digest::SHA256, own);
        Some(Self {
            uris,
            dns,
            common_name,
            subject: parsed.subject().to_string().into(),
            issuer: parsed.issuer().to_string().into(),
            sha256: hex::encode(hash.as_ref()).into(),
            not_after: ends.min()?,
            chain: chain.iter().map(|c| c.clone().into_owned()).collect(),
        })
    }

    /// Whether the certificate has this name, compared as a whole.
    pub fn is(&self, name: &CertificateName) -> bool {
        match name {
            // An X.509-SVID has exactly one URI (SPIFFE, X509-SVID, section 2):
            // with several, a CA was talked into more than it should be.
            CertificateName::Uri(uri) => self.uris.len() == 1 && self.uris[0] == *uri,
            CertificateName::Dns(name) => self.dns.contains(name),
            CertificateName::CommonName(name) => self.common_name.as_ref() == Some(name),
        }
    }

    /// Every name that a rule could ask for, in the form that rules write.
    pub fn names(&self) -> Vec<String> {
        let uris = self.uris.iter().cloned().map(CertificateName::Uri);
        let dns = self.dns.iter().cloned().map(CertificateName::Dns);
        let cn = self
            .common_name
            .iter()
            .cloned()
            .map(CertificateName::CommonName);
        uris.chain(dns).chain(cn).map(|n| n.to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn certificate(names: &[SanType], common_names: &[&str]) -> Certificate {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for name in common_names {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        params.subject_alt_names = names.to_vec();
        let key = KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        Certificate::read(&[made.der().clone()]).unwrap()
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    fn dns(text: &str) -> SanType {
        SanType::DnsName(text.try_into().unwrap())
    }

    fn is(certificate: &Certificate, name: &str) -> bool {
        certificate.is(&CertificateName::parse(name).unwrap())
    }

    #[test]
    fn names_are_compared_as_a_whole() {
        let c = certificate(
            &[uri("spiffe://example.org/orders"), dns("API.example.org")],
            &["orders"],
        );
        for name in [
            "spiffe://example.org/orders",
            "dns:api.example.org",
            "cn:orders",
        ] {
            assert!(is(&c, name), "{name}");
        }
        for name in [
            "spiffe://example.org/order",
            "spiffe://example.org/orders/",
            "spiffe://EXAMPLE.org/orders",
            "dns:example.org",
            "dns:orders",
            "cn:Orders",
            "cn:spiffe://example.org/orders",
        ] {
            assert!(!is(&c, name), "{name}");
        }
        assert_eq!(c.names().len(), 3);
        assert_eq!(c.sha256.len(), 64);
    }

    #[test]
    fn of_several_uris_none_counts() {
        let c = certificate(&[uri("spiffe://a/b"), uri("spiffe://a/c")], &[]);
        assert!(!is(&c, "spiffe://a/b") && !is(&c, "spiffe://a/c"));
    }

    /// A wildcard in a certificate is for servers; it is nobody's name here.
    #[test]
    fn wildcards_match_nothing() {
        let c = certificate(&[dns("*.example.org")], &[]);
        assert!(!is(&c, "dns:api.example.org"));
    }

    #[test]
    fn what_is_no_certificate() {
        assert_eq!(Certificate::read(&[]), None);
        assert_eq!(Certificate::read(&[vec![0x30, 0x03, 1, 2, 3].into()]), None);
    }
}
