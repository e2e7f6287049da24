//! TLS configurations for clients, upstream servers and web addresses, all by rustls.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig,
    SignatureScheme,
};

use super::ClientTrust;

/// `[database.NAME] tls`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamTls {
    Disable,
    /// Encrypted, without checking the certificate.
    Require,
    VerifyCa,
    VerifyFull,
}

/// Why TLS cannot be configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {path}: {source}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} holds no PEM {what}", path = path.display())]
    Pem { path: PathBuf, what: &'static str },
    #[error("{path}: {source}", path = path.display())]
    Unusable {
        path: PathBuf,
        source: rustls::Error,
    },
    #[error(
        "{path} has mode {mode:04o}, so that everybody can read the private key in it; chmod 640 {path}",
        path = path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
    #[error("the system has no usable root certificates; set tls_ca")]
    NoRoots,
    #[error("TLS cannot be configured: {0}")]
    Config(String),
}

/// The ALPN identifier of Postgres (registered with IANA; libpq sends it since 17).
pub const ALPN: &[u8] = b"postgresql";

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let none = || TlsError::Pem {
        path: path.to_owned(),
        what: "certificate",
    };
    let certificates = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| none())?;
    if certificates.is_empty() {
        Err(none())
    } else {
        Ok(certificates)
    }
}

/// Reads a private key in PEM.
///
/// # Errors
/// [`TlsError`], also if everybody on the machine can read the file: such a key proves
/// nothing.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(path)?;
    let mode = fs::metadata(path).map_or(0, |m| m.permissions().mode() & 0o777);
    if mode & 0o004 != 0 {
        return Err(TlsError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| TlsError::Pem {
        path: path.to_owned(),
        what: "private key",
    })
}

/// The configuration for clients: the certificate they see, and the client certificates
/// that are accepted. TLS 1.2 and newer.
///
/// # Errors
/// [`TlsError`]
pub fn for_clients(
    certificate: &Path,
    key: &Path,
    trust: Option<Arc<ClientTrust>>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates(certificate)?;
    let private = private_key(key)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| TlsError::Config(e.to_string()))?
        .with_client_cert_verifier(match trust {
            Some(trust) => trust,
            None => WebPkiClientVerifier::no_client_auth(),
        })
        .with_single_cert(chain, private)
        .map_err(|source| TlsError::Unusable {
            path: certificate.to_owned(),
            source,
        })?;
    // A client may leave ALPN out, but must not ask for another protocol: bytes meant for
    // a web server must not be taken for those of a client (ALPACA).
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// The configuration for an upstream server; `None` for [`UpstreamTls::Disable`].
///
/// # Errors
/// [`TlsError`]
pub fn for_upstream(
    mode: UpstreamTls,
    ca: Option<&Path>,
    identity: Option<&(PathBuf, PathBuf)>,
) -> Result<Option<Arc<ClientConfig>>, TlsError> {
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let verifier: Arc<dyn ServerCertVerifier> = match mode {
        UpstreamTls::Disable => return Ok(None),
        UpstreamTls::Require => Arc::new(Unverified { algorithms }),
        UpstreamTls::VerifyCa | UpstreamTls::VerifyFull => {
            let web =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots(ca)?), provider.clone())
                    .build()
                    .map_err(|e| TlsError::Config(e.to_string()))?;
            if mode == UpstreamTls::VerifyCa {
                Arc::new(AnyName(web))
            } else {
                web
            }
        }
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| TlsError::Config(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match identity {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => config
            .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
            .map_err(|source| TlsError::Unusable {
                path: certificate.clone(),
                source,
            })?,
    };
    Ok(Some(Arc::new(config)))
}

/// The configuration for web addresses: trusts the roots of the system, or only those of
/// `ca`.
///
/// # Errors
/// [`TlsError`]
pub fn for_web(ca: Option<&Path>) -> Result<ClientConfig, TlsError> {
    Ok(ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| TlsError::Config(e.to_string()))?
        .with_root_certificates(roots(ca)?)
        .with_no_client_auth())
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .map_err(|source| TlsError::Unusable {
                        path: path.to_owned(),
                        source,
                    })?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        Err(TlsError::NoRoots)
    } else {
        Ok(roots)
    }
}

/// `verify-ca`: the chain must be valid, the name may be any.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

/// `require`: encrypted, without checking the certificate. The signature of the handshake
/// is checked nevertheless, so that the channel binding of SCRAM stays meaningful.
#[derive(Debug)]
struct Unverified {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self
            .0
            .verify_server_cert(end_entity, intermediates, name, ocsp, now)
        {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
