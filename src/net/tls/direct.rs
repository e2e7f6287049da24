//! Server certificates that OpenSSL accepts and webpki does not: one that is itself
//! trusted, one that says it is a CA, and one of X.509 version 1. The Postgres manual
//! makes the first two with `openssl req -x509`, and the last one with
//! `openssl x509 -req` before OpenSSL 3.2.
//!
//! Such a certificate has to be trusted itself, or issued directly by a trusted one.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::{CertificateError, Error};
use x509_parser::prelude::{
    ASN1Time, CertificateRevocationList, FromDer, X509Certificate, X509Version,
};

use super::signed::is_signed_by;

/// What is trusted.
pub(super) struct Trusted<'a> {
    pub certificates: &'a [CertificateDer<'static>],
    pub lists: &'a [CertificateRevocationListDer<'static>],
    pub algorithms: &'a WebPkiSupportedAlgorithms,
}

type Verdict = Result<(), CertificateError>;

impl Trusted<'_> {
    /// Whether a certificate is one of those that webpki cannot judge.
    pub fn judges(&self, der: &CertificateDer<'_>, certificate: &X509Certificate<'_>) -> bool {
        certificate.version() == X509Version::V1 || certificate.is_ca() || self.has(der)
    }

    fn has(&self, der: &CertificateDer<'_>) -> bool {
        self.certificates.iter().any(|c| c == der)
    }

    /// Judges the certificate of a server, but not its name.
    ///
    /// # Errors
    /// It is not accepted.
    pub fn verify(
        &self,
        der: &CertificateDer<'_>,
        certificate: &X509Certificate<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let now = i64::try_from(now.as_secs()).ok();
        let now = now.and_then(|now| ASN1Time::from_timestamp(now).ok());
        let now = now.ok_or(CertificateError::BadEncoding)?;
        is_in_time(certificate, now)?;
        is_for_servers(certificate)?;
        let trusted = self.certificates.iter();
        for issuer in trusted.filter_map(|c| X509Certificate::from_der(c).ok()) {
            let (_, issuer) = issuer;
            let its_own = issuer.as_raw() == der.as_ref();
            if issuer.subject().as_raw() == certificate.issuer().as_raw()
                && (its_own || may_issue(&issuer))
                && is_in_time(&issuer, now).is_ok()
                && is_signed_by(der, issuer.public_key().raw, self.algorithms)
            {
                return Ok(self.is_not_revoked(certificate, &issuer, now)?);
            }
        }
        // Trusted, with an issuer that is not known.
        if self.has(der) && self.lists.is_empty() {
            return Ok(());
        }
        Err(match self.has(der) {
            true => CertificateError::UnknownRevocationStatus,
            false => CertificateError::UnknownIssuer,
        }
        .into())
    }

    /// With revocation lists, one of the issuer has to be there and in time.
    fn is_not_revoked(
        &self,
        certificate: &X509Certificate<'_>,
        issuer: &X509Certificate<'_>,
        now: ASN1Time,
    ) -> Verdict {
        let mut known = self.lists.is_empty();
        for list in self.lists {
            let Ok((_, parsed)) = CertificateRevocationList::from_der(list) else {
                continue;
            };
            // A critical extension may say that the list is not about all certificates.
            if parsed.issuer().as_raw() != certificate.issuer().as_raw()
                || parsed.extensions().iter().any(|e| e.critical)
                || !is_signed_by(list, issuer.public_key().raw, self.algorithms)
            {
                continue;
            }
            let mut revoked = parsed.iter_revoked_certificates();
            if revoked.any(|r| *r.serial() == certificate.tbs_certificate.serial) {
                return Err(CertificateError::Revoked);
            }
            if parsed.next_update().is_none_or(|end| end <= now) {
                return Err(CertificateError::ExpiredRevocationList);
            }
            known = true;
        }
        match known {
            true => Ok(()),
            false => Err(CertificateError::UnknownRevocationStatus),
        }
    }
}

fn is_in_time(certificate: &X509Certificate<'_>, now: ASN1Time) -> Verdict {
    let validity = certificate.validity();
    if now < validity.not_before {
        return Err(CertificateError::NotValidYet);
    }
    match now > validity.not_after {
        true => Err(CertificateError::Expired),
        false => Ok(()),
    }
}

/// The extensions that say what a key may be used for, where they are there.
fn is_for_servers(certificate: &X509Certificate<'_>) -> Verdict {
    let malformed = |_| CertificateError::BadEncoding;
    let purpose = certificate.extended_key_usage().map_err(malformed)?;
    let usage = certificate.key_usage().map_err(malformed)?;
    let purpose = purpose.is_none_or(|p| p.value.server_auth || p.value.any);
    let usage = usage.is_none_or(|u| {
        let u = u.value;
        u.digital_signature() || u.key_encipherment() || u.key_agreement()
    });
    match purpose && usage {
        true => Ok(()),
        false => Err(CertificateError::InvalidPurpose),
    }
}

/// Whether a trusted certificate is one of a CA. What it may issue must not be limited:
/// that is for webpki to judge.
fn may_issue(issuer: &X509Certificate<'_>) -> bool {
    if issuer.version() == X509Version::V1 {
        return issuer.subject().as_raw() == issuer.issuer().as_raw();
    }
    let usage = issuer.key_usage().ok();
    let signs = usage.is_some_and(|u| u.is_none_or(|u| u.value.key_cert_sign()));
    issuer.is_ca() && signs && matches!(issuer.name_constraints(), Ok(None))
}
