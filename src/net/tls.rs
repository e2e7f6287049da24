//! TLS configurations for clients, upstream servers and web addresses, all by rustls.
//!
//! * `upstream`      that for upstream servers, `key` also with encrypted private keys
//! * `server_trust`  which certificates of servers are accepted: those that libpq accepts
//! * `direct`        those of them that webpki does not judge, `signed` their signatures
//! * `names`         whether a certificate is for a host
//! * `checked`       whether the files of `upstream` can still be used
//! * `reread`        files that are read again when they change

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::ClientTrust;

mod checked;
mod direct;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod key;
mod names;
mod reread;
mod server_trust;
mod signed;
mod upstream;

pub use checked::CheckedFiles;
pub use upstream::{Identity, TlsOptions, TlsVersion, fault, for_upstream};

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
        "{path} has mode {mode:04o}, so that everybody can read the secret in it; chmod 640 {path}",
        path = path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{path} is encrypted; name the file of its password (tls_key_password_file), or decrypt it", path = .0.display())]
    KeyEncrypted(PathBuf),
    #[error(
        "{path} cannot be decrypted with the password in {password}",
        path = path.display(),
        password = password.display()
    )]
    KeyPassword { path: PathBuf, password: PathBuf },
    #[error(
        "{path} is encrypted in a form that pgvalet does not read; convert it with: openssl pkcs8 -topk8 -v2 aes-256-cbc -in {path} -out NEW.key",
        path = .0.display()
    )]
    KeyForm(PathBuf),
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

pub(super) fn revocation_lists(
    path: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
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

/// Reads a private key in PEM, which is not encrypted.
///
/// # Errors
/// [`TlsError`], also if everybody on the machine can read the file: such a key proves
/// nothing.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    key::read(path, None)
}

/// Reads a file that not everybody on the machine may read.
fn read_private(path: &Path) -> Result<Vec<u8>, TlsError> {
    let text = read(path)?;
    let mode = fs::metadata(path).map_or(0, |m| m.permissions().mode() & 0o777);
    if mode & 0o004 != 0 {
        return Err(TlsError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(text)
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
