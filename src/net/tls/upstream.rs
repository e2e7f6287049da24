//! The TLS configuration for upstream servers.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, Error, SignatureScheme, SupportedProtocolVersion};

use super::reread::Reread;
use super::server_trust::{Check, ServerTrust};
use super::{TlsError, UpstreamTls, certificates, key, provider};

/// How TLS to a server is done, beyond how much of its certificate is checked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TlsOptions {
    /// PEM; `None`: the roots of the system.
    pub ca: Option<PathBuf>,
    /// PEM, one list for every authority of a chain. If empty, nothing is revoked.
    pub crl: Vec<PathBuf>,
    /// What pgvalet shows to the server.
    pub identity: Option<Identity>,
    pub min_version: TlsVersion,
}

impl TlsOptions {
    /// Whether the files can be used, as they are now.
    ///
    /// # Errors
    /// [`TlsError`]: why one of them cannot be.
    pub fn check(&self) -> Result<(), TlsError> {
        match self.files().is_empty() {
            true => Ok(()),
            false => for_upstream(UpstreamTls::VerifyFull, self).map(drop),
        }
    }

    /// All files that are named.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let own = self.identity.iter();
        let own = own.flat_map(|i| [Some(&i.certificate), Some(&i.key), i.password.as_ref()]);
        let files = self.ca.iter().chain(&self.crl).chain(own.flatten());
        files.cloned().collect()
    }
}

/// The certificate and key of pgvalet itself, PEM.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The password of the key, if that is encrypted.
    pub password: Option<PathBuf>,
}

/// `[database.NAME] tls_min_version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersion {
    #[default]
    V1_2,
    V1_3,
}

/// The configuration for an upstream server; `None` for [`UpstreamTls::Disable`].
///
/// # Errors
/// [`TlsError`]
pub fn for_upstream(
    mode: UpstreamTls,
    options: &TlsOptions,
) -> Result<Option<Arc<ClientConfig>>, TlsError> {
    let check = match mode {
        UpstreamTls::Disable => return Ok(None),
        UpstreamTls::Require => Check::Nothing,
        UpstreamTls::VerifyCa => Check::Issuer,
        UpstreamTls::VerifyFull => Check::IssuerAndName,
    };
    let versions: &[&'static SupportedProtocolVersion] = match options.min_version {
        TlsVersion::V1_2 => rustls::ALL_VERSIONS,
        TlsVersion::V1_3 => &[&rustls::version::TLS13],
    };
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(|e| TlsError::Config(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ServerTrust::load(check, options)?));
    let mut config = match &options.identity {
        None => config.with_no_client_auth(),
        Some(identity) => config.with_client_cert_resolver(Arc::new(Shown::load(identity)?)),
    };
    // A session that is resumed shows no certificate, which may have been revoked since.
    // Postgres resumes none.
    config.resumption = Resumption::disabled();
    Ok(Some(Arc::new(config)))
}

/// The certificate that servers are shown. Its files are read again when they change.
#[derive(Debug)]
struct Shown {
    identity: Identity,
    key: Reread<CertifiedKey>,
}

impl Shown {
    fn load(identity: &Identity) -> Result<Self, TlsError> {
        let files = [&identity.certificate, &identity.key];
        let files = files.into_iter().chain(&identity.password).cloned();
        Ok(Self {
            identity: identity.clone(),
            key: Reread::new(files.collect(), || certified(identity))?,
        })
    }
}

fn certified(identity: &Identity) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&identity.certificate)?;
    let key = key::read(&identity.key, identity.password.as_deref())?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|source| TlsError::Unusable {
        path: identity.certificate.clone(),
        source,
    })
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.key.get(|| certified(&self.identity)))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// What is wrong with a server's certificate, as the end of "a certificate that …";
/// `None` if the error is not about a certificate.
pub fn fault(error: &Error) -> Option<&'static str> {
    use CertificateError as E;
    let Error::InvalidCertificate(error) = error else {
        return None;
    };
    Some(match error {
        E::Expired | E::ExpiredContext { .. } => "has expired",
        E::NotValidYet | E::NotValidYetContext { .. } => "is not valid yet",
        E::Revoked => "is revoked",
        E::UnknownIssuer => "no trusted authority has issued",
        E::NotValidForName | E::NotValidForNameContext { .. } => "is for another name",
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => "is not for servers",
        E::UnknownRevocationStatus
        | E::ExpiredRevocationList
        | E::ExpiredRevocationListContext { .. } => "no valid revocation list covers",
        _ => "is not valid",
    })
}
