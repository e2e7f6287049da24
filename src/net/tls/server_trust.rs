//! Which certificates of servers are accepted: those that libpq would accept with the
//! same files.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use super::direct::Trusted;
use super::reread::Reread;
use super::upstream::TlsOptions;
use super::{TlsError, certificates, names, provider, revocation_lists, roots, signed};

/// How much of a certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// Nothing. The signature of the handshake is checked nevertheless, so that the
    /// channel binding of SCRAM stays meaningful.
    Nothing,
    /// Who issued it.
    Issuer,
    IssuerAndName,
}

/// Judges the certificates of servers. The files of authorities and revocation lists are
/// read again when they change.
#[derive(Debug)]
pub(super) struct ServerTrust {
    check: Check,
    options: TlsOptions,
    anchors: Option<Reread<Anchors>>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// What the files say.
#[derive(Debug)]
struct Anchors {
    webpki: Arc<WebPkiServerVerifier>,
    /// The certificates of `tls_ca`; empty where the system's are trusted.
    certificates: Vec<CertificateDer<'static>>,
    lists: Vec<CertificateRevocationListDer<'static>>,
}

impl Anchors {
    fn read(options: &TlsOptions) -> Result<Self, TlsError> {
        let mut lists = Vec::new();
        for path in &options.crl {
            lists.extend(revocation_lists(path)?);
        }
        let roots = Arc::new(roots(options.ca.as_deref())?);
        let webpki = WebPkiServerVerifier::builder_with_provider(roots, provider())
            .with_crls(lists.clone())
            // As in libpq (X509_V_FLAG_CRL_CHECK_ALL), a list that is out of date proves
            // nothing.
            .enforce_revocation_expiration()
            .build()
            .map_err(|e| TlsError::Config(e.to_string()))?;
        Ok(Self {
            webpki,
            certificates: options.ca.as_deref().map_or(Ok(Vec::new()), certificates)?,
            lists,
        })
    }

    /// Whether the common name of a certificate may stand for a name of its server. Where
    /// an authority is limited to some names, only names that are subject to the limit do;
    /// and public authorities put all names into subjectAltName.
    fn common_names_count(&self, intermediates: &[CertificateDer<'_>]) -> bool {
        let limited = |der: &CertificateDer<'_>| {
            X509Certificate::from_der(der)
                .is_ok_and(|(_, c)| !matches!(c.name_constraints(), Ok(None)))
        };
        let mut chain = self.certificates.iter().chain(intermediates);
        !self.certificates.is_empty() && !chain.any(limited)
    }
}

impl ServerTrust {
    pub fn load(check: Check, options: &TlsOptions) -> Result<Self, TlsError> {
        let files = options.ca.iter().chain(&options.crl).cloned().collect();
        let anchors = match check {
            Check::Nothing => None,
            _ => Some(Reread::new(files, || Anchors::read(options))?),
        };
        Ok(Self {
            check,
            options: options.clone(),
            anchors,
            algorithms: provider().signature_verification_algorithms,
        })
    }

    /// The key of a certificate that rustls does not read.
    fn key_of_version_1<'a>(der: &'a CertificateDer<'_>) -> Option<&'a [u8]> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        (certificate.version() == X509Version::V1)
            .then_some(certificate.tbs_certificate.subject_pki.raw)
    }
}

impl ServerCertVerifier for ServerTrust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(anchors) = &self.anchors else {
            return Ok(ServerCertVerified::assertion());
        };
        let anchors = anchors.get(|| Anchors::read(&self.options));
        let (_, certificate) =
            X509Certificate::from_der(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        let trusted = Trusted {
            certificates: &anchors.certificates,
            lists: &anchors.lists,
            algorithms: &self.algorithms,
        };
        if !anchors.certificates.is_empty() && trusted.judges(end_entity, &certificate) {
            trusted.verify(end_entity, &certificate, intermediates, now)?;
        } else {
            let webpki = &anchors.webpki;
            match webpki.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
                // The name is looked at last, and again below.
                Ok(_)
                | Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. },
                )) => {}
                Err(error) => return Err(error),
            }
        }
        let common_name = anchors.common_names_count(intermediates);
        if self.check == Check::IssuerAndName && !names::is_for(&certificate, name, common_name) {
            let error = CertificateError::NotValidForNameContext {
                expected: name.to_owned(),
                presented: names::presented(&certificate),
            };
            return Err(error.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match Self::key_of_version_1(cert) {
            Some(key) => signed::handshake12(message, key, dss, &self.algorithms),
            None => rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match Self::key_of_version_1(cert) {
            Some(key) => signed::handshake13(message, key, dss, &self.algorithms),
            None => rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
