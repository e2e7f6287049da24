//! Files of a cluster: its directory, their owner, and certificates.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::statvfs::{Statvfs, statvfs};
use nix::unistd::{User, chown, geteuid};
use tempfile::TempDir;

/// As much has to be free for clusters to be in memory; each takes some 60 MB.
const PLENTY: u64 = 2 << 30;

/// A directory for a cluster: in memory where there is plenty, since a cluster is a
/// thousand files that go with the test.
pub fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    #[allow(clippy::useless_conversion, reason = "u32 on some systems")]
    let free = |stat: Statvfs| u64::from(stat.blocks_available()) * u64::from(stat.fragment_size());
    let plenty = statvfs(memory).is_ok_and(|stat| free(stat) > PLENTY);
    let base = if plenty {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    };
    TempDir::with_prefix_in("pgvalet-pg-", base).expect("a temporary directory")
}

/// A CA, a certificate of the server for `localhost`, and one of a client called
/// `by_cert`, each with its key.
pub fn make_certificates(directory: &Path) {
    let ca_key = rcgen::KeyPair::generate().expect("a key");
    let mut ca = rcgen::CertificateParams::new(Vec::new()).expect("no names");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.distinguished_name
        .push(rcgen::DnType::CommonName, "pgvalet test CA");
    let ca_certificate = ca.self_signed(&ca_key).expect("a CA");
    let issuer = rcgen::Issuer::new(ca, ca_key);

    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate =
        rcgen::CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])
            .and_then(|params| params.signed_by(&key, &issuer))
            .expect("a server certificate");

    let client_key = rcgen::KeyPair::generate().expect("a key");
    let mut client = rcgen::CertificateParams::new(Vec::new()).expect("no names");
    client.distinguished_name = rcgen::DistinguishedName::new();
    let name = &mut client.distinguished_name;
    name.push(rcgen::DnType::CommonName, "by_cert");
    let client = client.signed_by(&client_key, &issuer);

    for (name, content) in [
        ("client.crt", client.expect("a client's certificate").pem()),
        ("client.key", client_key.serialize_pem()),
        ("ca.crt", ca_certificate.pem()),
        ("server.crt", certificate.pem()),
        ("server.key", key.serialize_pem()),
    ] {
        let path = directory.join(name);
        fs::write(&path, content).expect("a file");
        let mode = if name.ends_with(".key") { 0o600 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    }
}

/// Postgres refuses to run as root, so there the files are those of `postgres`.
pub fn give_to_postgres(base: &Path) {
    fs::set_permissions(base, fs::Permissions::from_mode(0o755)).expect("a mode");
    if !geteuid().is_root() {
        return;
    }
    let user = User::from_name("postgres")
        .ok()
        .flatten()
        .expect("a user called postgres, as Debian's package makes it");
    let mut pending = vec![base.to_owned()];
    while let Some(path) = pending.pop() {
        chown(&path, Some(user.uid), Some(user.gid)).expect("chown");
        if path.is_dir() {
            pending.extend(
                fs::read_dir(&path)
                    .expect("a listing")
                    .flatten()
                    .map(|e| e.path()),
            );
        }
    }
}
