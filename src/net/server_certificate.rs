//! The certificate that clients see. Its files are read again when they change;
//! connections stay open.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::ServerConfig;

use super::tls::{TlsError, for_clients};
use super::{ClientTrust, Validity};

/// The certificate and key in force.
pub struct ServerCertificate {
    certificate: PathBuf,
    key: PathBuf,
    trust: Option<Arc<ClientTrust>>,
    /// The ALPN identifier, if it is not that of Postgres.
    protocol: Option<&'static [u8]>,
    config: ArcSwap<ServerConfig>,
    /// The state of the files when they were read last.
    stamps: Mutex<[Stamp; 2]>,
    validity: Mutex<Option<Validity>>,
    /// Why the files could not be read when they had changed last.
    failure: Mutex<Option<Arc<str>>>,
}

/// What changes when a file is written or another is put in its place.
type Stamp = Option<(SystemTime, u64)>;

impl ServerCertificate {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`]: a file cannot be used.
    pub fn load(
        certificate: PathBuf,
        key: PathBuf,
        trust: Option<Arc<ClientTrust>>,
    ) -> Result<Arc<Self>, TlsError> {
        Self::new(certificate, key, trust, None)
    }

    /// Reads the files for a listener of another protocol, which has this ALPN identifier.
    /// Clients are not asked for a certificate.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn for_protocol(
        certificate: PathBuf,
        key: PathBuf,
        protocol: &'static [u8],
    ) -> Result<Arc<Self>, TlsError> {
        Self::new(certificate, key, None, Some(protocol))
    }

    fn new(
        certificate: PathBuf,
        key: PathBuf,
        trust: Option<Arc<ClientTrust>>,
        protocol: Option<&'static [u8]>,
    ) -> Result<Arc<Self>, TlsError> {
        let stamps = stamps(&certificate, &key);
        let config = read(&certificate, &key, trust.clone(), protocol)?;
        Ok(Arc::new(Self {
            validity: Mutex::new(Validity::of_chain(&certificate)),
            failure: Mutex::default(),
            certificate,
            key,
            trust,
            protocol,
            config: ArcSwap::new(config),
            stamps: Mutex::new(stamps),
        }))
    }

    /// The configuration for new handshakes.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// Reads the files again if they have changed, and returns whether they had.
    /// Blocks while it reads.
    ///
    /// # Errors
    /// [`TlsError`]: the files cannot be used, or do not fit each other (yet). The current
    /// certificate stays in force, and the files are read again only after another change.
    pub fn refresh(&self) -> Result<bool, TlsError> {
        let now = stamps(&self.certificate, &self.key);
        let mut seen = self.stamps.lock();
        if *seen == now {
            return Ok(false);
        }
        *seen = now;
        self.reread()?;
        Ok(true)
    }

    /// Reads the files again, even if they have not changed.
    ///
    /// # Errors
    /// As [`refresh`](Self::refresh).
    pub fn reread(&self) -> Result<(), TlsError> {
        let trust = self.trust.clone();
        let read = read(&self.certificate, &self.key, trust, self.protocol);
        *self.failure.lock() = read.as_ref().err().map(|e| e.to_string().into());
        self.config.store(read?);
        *self.validity.lock() = Validity::of_chain(&self.certificate);
        Ok(())
    }

    /// The file of the certificate.
    pub fn path(&self) -> &Path {
        &self.certificate
    }

    /// From when until when the certificate in force is valid, if it says so.
    pub fn validity(&self) -> Option<Validity> {
        *self.validity.lock()
    }

    /// Why the files on disk are not in force, if they are not.
    pub fn failure(&self) -> Option<Arc<str>> {
        self.failure.lock().clone()
    }
}

fn read(
    certificate: &Path,
    key: &Path,
    trust: Option<Arc<ClientTrust>>,
    protocol: Option<&[u8]>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = for_clients(certificate, key, trust)?;
    if let Some(protocol) = protocol {
        Arc::make_mut(&mut config).alpn_protocols = vec![protocol.to_vec()];
    }
    Ok(config)
}

fn stamps(certificate: &PathBuf, key: &PathBuf) -> [Stamp; 2] {
    [certificate, key].map(|path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}
