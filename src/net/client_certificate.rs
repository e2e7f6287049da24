//! Whose certificates are accepted of clients: a CA and its revocation lists,
//! read again when their files change, without anybody being dropped for it.
//!
//! A client may come without a certificate; what that is worth is for the
//! rules to say.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use super::tls::{TlsError, certificates, provider, read};

/// Whose certificates are accepted of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCa {
    /// PEM, one or more roots.
    pub ca: PathBuf,
    /// PEM, one list for every CA of a chain; none at all: nothing is revoked.
    pub crl: Vec<PathBuf>,
}

/// What is trusted at the moment.
#[derive(Debug)]
pub struct ClientTrust {
    files: ClientCa,
    verifier: ArcSwap<Verifier>,
    /// Of the files when they were read last.
    stamps: Mutex<Vec<Stamp>>,
}

#[derive(Debug)]
struct Verifier(Arc<dyn ClientCertVerifier>);

/// What changes when a file is written or another is put in its place.
type Stamp = Option<(SystemTime, u64)>;

/// Why a certificate is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Distrust {
    Expired,
    NotYetValid,
    Revoked,
    UnknownIssuer,
    /// Not made for clients (extended key usage).
    Purpose,
    /// The revocation list is out of date, or says nothing about the issuer.
    RevocationUnknown,
    Invalid,
}

impl Distrust {
    /// Whether it ends sessions as well. A list that was not renewed in time
    /// keeps new clients out; it says nothing about those that are there.
    pub fn ends_sessions(self) -> Option<&'static str> {
        (self != Self::RevocationUnknown).then(|| self.reason())
    }

    pub fn reason(self) -> &'static str {
        match self {
            Self::Expired => "certificate_expired",
            Self::NotYetValid => "certificate_not_yet_valid",
            Self::Revoked => "certificate_revoked",
            Self::UnknownIssuer => "certificate_unknown_issuer",
            Self::Purpose => "certificate_wrong_purpose",
            Self::RevocationUnknown => "certificate_revocation_unknown",
            Self::Invalid => "certificate_invalid",
        }
    }

    /// What rustls says about a certificate; `None` for errors of other kinds.
    pub fn of(error: &Error) -> Option<Self> {
        let Error::InvalidCertificate(error) = error else {
            return None;
        };
        Some(match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::Revoked => Self::Revoked,
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::Purpose
            }
            CertificateError::UnknownRevocationStatus
            | CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. } => Self::RevocationUnknown,
            _ => Self::Invalid,
        })
    }
}

impl ClientTrust {
    /// # Errors
    /// [`TlsError`]: a file cannot be used.
    pub fn load(files: &ClientCa) -> Result<Arc<Self>, TlsError> {
        let stamps = stamps(files);
        Ok(Arc::new(Self {
            verifier: ArcSwap::from_pointee(Verifier(verifier(files)?)),
            files: files.clone(),
            stamps: Mutex::new(stamps),
        }))
    }

    /// Reads the files again if they have changed, and says whether they had.
    /// Blocks for as long as reading takes.
    ///
    /// # Errors
    /// [`TlsError`]: they cannot be used; what was trusted stays trusted, and
    /// the same files are not looked at again.
    pub fn refresh(&self) -> Result<bool, TlsError> {
        let now = stamps(&self.files);
        let mut seen = self.stamps.lock();
        if *seen == now {
            return Ok(false);
        }
        *seen = now;
        self.verifier
            .store(Arc::new(Verifier(verifier(&self.files)?)));
        Ok(true)
    }

    /// Whether a certificate would be accepted now: the client's own first,
    /// then those in between.
    ///
    /// # Errors
    /// [`Distrust`]
    pub fn check(&self, chain: &[CertificateDer<'_>]) -> Result<(), Distrust> {
        let (own, between) = chain.split_first().ok_or(Distrust::Invalid)?;
        self.verify_client_cert(own, between, UnixTime::now())
            .map(drop)
            .map_err(|e| Distrust::of(&e).unwrap_or(Distrust::Invalid))
    }
}

fn stamps(files: &ClientCa) -> Vec<Stamp> {
    std::iter::once(&files.ca)
        .chain(&files.crl)
        .map(|path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
        .collect()
}

fn verifier(files: &ClientCa) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for root in certificates(&files.ca)? {
        roots.add(root).map_err(|source| TlsError::Unusable {
            path: files.ca.clone(),
            source,
        })?;
    }
    let mut lists = Vec::new();
    for path in &files.crl {
        lists.extend(revocation_lists(path)?);
    }
    let unusable = |e: rustls::server::VerifierBuilderError| {
        let files: Vec<String> = files.crl.iter().map(|p| p.display().to_string()).collect();
        TlsError::Config(format!("client_crl ({}): {e}", files.join(", ")))
    };
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .with_crls(lists)
        // As Postgres does (X509_V_FLAG_CRL_CHECK_ALL): a list that is out of
        // date proves nothing.
        .enforce_revocation_expiration()
        .allow_unauthenticated()
        .build()
        .map_err(unusable)
}

fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let none = || TlsError::Pem {
        path: path.to_owned(),
        what: "revocation list",
    };
    let lists = CertificateRevocationListDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| none())?;
    if lists.is_empty() {
        return Err(none());
    }
    Ok(lists)
}

impl ClientCertVerifier for ClientTrust {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: which CAs there are may change, and clients have one certificate
    /// to choose from.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verifier = self.verifier.load();
        verifier
            .0
            .verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .load()
            .0
            .verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .load()
            .0
            .verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.load().0.supported_verify_schemes()
    }
}
