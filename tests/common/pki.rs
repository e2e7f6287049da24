//! A CA for clients' certificates, made for one test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tempfile::TempDir;

pub const DAY: Duration = Duration::from_secs(24 * 3600);

pub struct Pki {
    issuer: Issuer<'static, KeyPair>,
    directory: TempDir,
    next: AtomicU64,
}

/// A client's certificate and key, as files and as what rustls takes.
pub struct ClientCertificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub serial: u64,
}

impl ClientCertificate {
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from_pem_file(&self.certificate).expect("a certificate")]
    }

    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_file(&self.key).expect("a key")
    }

    /// The parameters that libpq needs.
    pub fn dsn(&self) -> String {
        let (certificate, key) = (self.certificate.display(), self.key.display());
        format!("sslmode=require sslcert={certificate} sslkey={key}")
    }
}

impl Pki {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        let name = format!("CA {}", uuid::Uuid::new_v4());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let directory = TempDir::with_prefix("pgvalet-pki-").expect("a directory");
        let own = params.self_signed(&key).expect("a certificate");
        fs::write(directory.path().join("ca.pem"), own.pem()).expect("written");
        let pki = Self {
            issuer: Issuer::new(params, key),
            directory,
            next: AtomicU64::new(1),
        };
        pki.revoke(&[]);
        pki
    }

    pub fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    pub fn crl(&self) -> PathBuf {
        self.directory.path().join("ca.crl")
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Puts a list of exactly these in the place of the one that is there.
    pub fn revoke(&self, revoked: &[&ClientCertificate]) {
        let now = SystemTime::now();
        let params = CertificateRevocationListParams {
            this_update: now.into(),
            next_update: (now + Duration::from_secs(3600)).into(),
            crl_number: SerialNumber::from(self.next.fetch_add(1, Ordering::Relaxed)),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|c| RevokedCertParams {
                    serial_number: SerialNumber::from(c.serial),
                    revocation_time: now.into(),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).expect("a list");
        let new = self.directory.path().join("new.crl");
        fs::write(&new, list.pem().expect("PEM")).expect("written");
        fs::rename(new, self.crl()).expect("in place");
    }

    /// A certificate for `name` ("spiffe://…", "dns:…" or "cn:…") that ends in
    /// `lifetime`.
    pub fn client(&self, name: &str, lifetime: Duration) -> ClientCertificate {
        self.certificate(name, SystemTime::now() + lifetime, |_| {})
    }

    pub fn certificate(
        &self,
        name: &str,
        ends: SystemTime,
        change: impl FnOnce(&mut CertificateParams),
    ) -> ClientCertificate {
        let serial = self.next.fetch_add(1, Ordering::Relaxed);
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        match name.split_once(':') {
            Some(("cn", name)) => params.distinguished_name.push(DnType::CommonName, name),
            Some(("dns", name)) => params
                .subject_alt_names
                .push(SanType::DnsName(name.try_into().expect("a name"))),
            _ => params
                .subject_alt_names
                .push(SanType::URI(name.try_into().expect("a URI"))),
        }
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_before = (ends - Duration::from_secs(48 * 3600)).into();
        params.not_after = ends.into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let made = params.signed_by(&key, &self.issuer).expect("a certificate");
        let file = |extension: &str, text: String| {
            let path = self.directory.path().join(format!("{serial}.{extension}"));
            fs::write(&path, text).expect("written");
            // libpq refuses a key that others can read.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
            path
        };
        ClientCertificate {
            certificate: file("pem", made.pem()),
            key: file("key", key.serialize_pem()),
            serial,
        }
    }
}
