//! Certificates that a server shows, read from any bytes.

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::direct::Trusted;
use super::{names, provider};
use crate::fuzz::Input;

/// The certificate of a server, and one that is trusted.
pub fn server_certificate(data: &[u8]) {
    let (own, trusted) = Input(data).halves();
    let own = CertificateDer::from(own);
    let certificates = [CertificateDer::from(trusted.to_vec())];
    let Ok((_, certificate)) = X509Certificate::from_der(&own) else {
        return;
    };
    let algorithms = provider().signature_verification_algorithms;
    let trusted = Trusted {
        certificates: &certificates,
        lists: &[],
        algorithms: &algorithms,
    };
    // In 2027, when the seeds are valid.
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_800_000_000));
    if trusted.judges(&own, &certificate)
        && trusted
            .verify(&own, &certificate, &certificates, now)
            .is_ok()
    {
        let issuer = X509Certificate::from_der(&certificates[0]);
        let issued = issuer
            .is_ok_and(|(_, issuer)| issuer.subject().as_raw() == certificate.issuer().as_raw());
        assert!(issued || own == certificates[0], "nobody vouches for it");
    }
    let presented = names::presented(&certificate);
    for host in ["db.example.com", "10.0.0.1", "::1"] {
        let name = ServerName::try_from(host).expect("a name");
        // Whoever is taken for somebody shows a name.
        let is_for = names::is_for(&certificate, &name, true);
        assert!(!is_for || !presented.is_empty(), "{presented:?}");
    }
}
