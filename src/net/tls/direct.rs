//! Server certificates that OpenSSL accepts and webpki does not: one that is itself
//! trusted, one that says it is a CA, and one of X.509 version 1. The Postgres manual
//! makes the first two with `openssl req -x509`, and the last one with
//! `openssl x509 -req` before OpenSSL 3.2.
//!
//! Such a certificate has to be trusted itself, or issued by a trusted one, with other
//! authorities in between where the server shows them.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::{CertificateError, Error};
use x509_parser::oid_registry::{
    OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_EXTENDED_KEY_USAGE, OID_X509_EXT_KEY_USAGE,
    OID_X509_EXT_SUBJECT_ALT_NAME,
};
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

/// A server may show whatever it likes: so many of its certificates are looked at.
const MOST: usize = 6;
/// How many authorities there may be between the server's certificate and a trusted one.
const LONGEST: usize = 3;

type Verdict = Result<(), CertificateError>;

impl Trusted<'_> {
    /// Whether a certificate is one of those that webpki cannot judge.
    pub fn judges(&self, der: &CertificateDer<'_>, certificate: &X509Certificate<'_>) -> bool {
        certificate.version() == X509Version::V1 || certificate.is_ca() || self.has(der)
    }

    fn has(&self, der: &CertificateDer<'_>) -> bool {
        self.certificates.iter().any(|c| c == der)
    }

    /// Judges the certificate of a server, but not its name. `shown`: what else the server
    /// shows.
    ///
    /// # Errors
    /// It is not accepted.
    pub fn verify(
        &self,
        der: &CertificateDer<'_>,
        certificate: &X509Certificate<'_>,
        shown: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let now = i64::try_from(now.as_secs()).ok();
        let now = now.and_then(|now| ASN1Time::from_timestamp(now).ok());
        let now = now.ok_or(CertificateError::BadEncoding)?;
        is_in_time(certificate, now)?;
        is_for_servers(certificate)?;
        if !knows_what_is_critical(certificate) {
            return Err(CertificateError::UnhandledCriticalExtension.into());
        }
        let shown = &shown[..shown.len().min(MOST)];
        match self.is_issued(der, certificate, shown, now, 0) {
            // Trusted itself, by an issuer that is not known.
            Err(CertificateError::UnknownIssuer) if self.has(der) => match self.lists.is_empty() {
                true => Ok(()),
                false => Err(CertificateError::UnknownRevocationStatus.into()),
            },
            issued => Ok(issued?),
        }
    }

    /// Whether a trusted certificate has issued this one, or another authority that a
    /// trusted one stands behind. `below`: how many such authorities there are already.
    fn is_issued(
        &self,
        der: &CertificateDer<'_>,
        certificate: &X509Certificate<'_>,
        shown: &[CertificateDer<'_>],
        now: ASN1Time,
        below: usize,
    ) -> Verdict {
        let has_issued = |issuer: &X509Certificate<'_>| {
            issuer.subject().as_raw() == certificate.issuer().as_raw()
                && is_in_time(issuer, now).is_ok()
                && is_signed_by(der, issuer.public_key().raw, self.algorithms)
        };
        for issuer in self.certificates {
            let Ok((_, parsed)) = X509Certificate::from_der(issuer) else {
                continue;
            };
            let its_own = below == 0 && issuer == der;
            if (its_own || may_issue(&parsed, below)) && has_issued(&parsed) {
                return self.is_not_revoked(certificate, &parsed, now);
            }
        }
        if below == LONGEST {
            return Err(CertificateError::UnknownIssuer);
        }
        for issuer in shown {
            let Ok((_, parsed)) = X509Certificate::from_der(issuer) else {
                continue;
            };
            if parsed.version() == X509Version::V3
                && may_issue(&parsed, below)
                && has_issued(&parsed)
            {
                match self.is_issued(issuer, &parsed, shown, now, below + 1) {
                    Err(CertificateError::UnknownIssuer) => {}
                    Err(error) => return Err(error),
                    Ok(()) => return self.is_not_revoked(certificate, &parsed, now),
                }
            }
        }
        Err(CertificateError::UnknownIssuer)
    }

    /// Checks that a certificate is not revoked. With revocation lists, one of the issuer has to be
    /// there and in time.
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

/// Whether a certificate is one of a CA that may have `below` others below it. What it may
/// issue must not be limited otherwise: that is for webpki to judge.
fn may_issue(issuer: &X509Certificate<'_>, below: usize) -> bool {
    if issuer.version() == X509Version::V1 {
        return issuer.subject().as_raw() == issuer.issuer().as_raw();
    }
    let Ok(Some(constraints)) = issuer.basic_constraints() else {
        return false;
    };
    let most = constraints.value.path_len_constraint;
    let usage = issuer.key_usage().ok();
    let purpose = issuer.extended_key_usage().ok();
    constraints.value.ca
        && most.is_none_or(|most| usize::try_from(most).is_ok_and(|most| below <= most))
        && usage.is_some_and(|u| u.is_none_or(|u| u.value.key_cert_sign()))
        && purpose.is_some_and(|p| p.is_none_or(|p| p.value.server_auth || p.value.any))
        && matches!(issuer.name_constraints(), Ok(None))
        && knows_what_is_critical(issuer)
}

/// Whether all critical extensions are looked at here.
fn knows_what_is_critical(certificate: &X509Certificate<'_>) -> bool {
    let known = [
        OID_X509_EXT_BASIC_CONSTRAINTS,
        OID_X509_EXT_KEY_USAGE,
        OID_X509_EXT_EXTENDED_KEY_USAGE,
        OID_X509_EXT_SUBJECT_ALT_NAME,
    ];
    let mut critical = certificate.extensions().iter().filter(|e| e.critical);
    critical.all(|e| known.contains(&e.oid))
}
