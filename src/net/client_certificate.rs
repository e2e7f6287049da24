//! Which client certificates are accepted: those of a CA, without those on its revocation
//! lists. The files are read again when they change; connections stay open.
//!
//! A client may connect without a certificate; the access rules say what such a client
//! may do.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use super::tls::{TlsError, certificates, provider, revocation_lists};

/// `[listen] client_ca` and `client_crl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCa {
    /// PEM, one or more roots.
    pub ca: PathBuf,
    /// PEM, one list for every CA of a chain. If empty, nothing is revoked.
    pub crl: Vec<PathBuf>,
}

/// The CA and the revocation lists in force.
#[derive(Debug)]
pub struct ClientTrust {
    files: ClientCa,
    verifier: ArcSwap<Verifier>,
    /// The state of the files when they were read last.
    stamps: Mutex<Vec<Stamp>>,
    /// Why the files could not be used when they had changed last.
    failure: Mutex<Option<Arc<str>>>,
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
    /// The extended key usage does not allow client authentication.
    Purpose,
    /// The revocation list is out of date, or says nothing about the issuer.
    RevocationUnknown,
    Invalid,
}

impl Distrust {
    /// The reason with which sessions of the certificate end, if they do. A revocation
    /// list that was not renewed in time keeps new clients out, but proves nothing about
    /// clients that are connected.
    pub fn ends_sessions(self) -> Option<&'static str> {
        (self != Self::RevocationUnknown).then(|| self.reason())
    }

    /// The reason in audit records and metrics.
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

    /// The error of rustls as a reason; `None` if it is not about a certificate.
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
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`]: a file cannot be used.
    pub fn load(files: &ClientCa) -> Result<Arc<Self>, TlsError> {
        let stamps = stamps(files);
        Ok(Arc::new(Self {
            verifier: ArcSwap::from_pointee(Verifier(verifier(files)?)),
            files: files.clone(),
            stamps: Mutex::new(stamps),
            failure: Mutex::default(),
        }))
    }

    /// Reads the files again if they have changed, and returns whether they had.
    /// Blocks while it reads.
    ///
    /// # Errors
    /// [`TlsError`]: the files cannot be used. The current ones stay in force, and the
    /// files are read again only after another change.
    pub fn refresh(&self) -> Result<bool, TlsError> {
        let now = stamps(&self.files);
        let mut seen = self.stamps.lock();
        if *seen == now {
            return Ok(false);
        }
        *seen = now;
        let read = verifier(&self.files);
        *self.failure.lock() = read.as_ref().err().map(|e| e.to_string().into());
        self.verifier.store(Arc::new(Verifier(read?)));
        Ok(true)
    }

    /// The file of the CA.
    pub fn path(&self) -> &Path {
        &self.files.ca
    }

    /// Why the files on disk are not in force, if they are not.
    pub fn failure(&self) -> Option<Arc<str>> {
        self.failure.lock().clone()
    }

    /// Checks a chain as a handshake would now: the client's own certificate first, then
    /// the intermediate ones.
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
        // As in Postgres (X509_V_FLAG_CRL_CHECK_ALL), a list that is out of date proves
        // nothing.
        .enforce_revocation_expiration()
        .allow_unauthenticated()
        .build()
        .map_err(unusable)
}

impl ClientCertVerifier for ClientTrust {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// Empty, because the CAs may change; clients have only one certificate to choose
    /// from.
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
