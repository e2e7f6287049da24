//! The key that a log is signed with, in a file beside it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::files::{beside, public_key};
use super::log::{AuditError, display};
use super::note::Signer;
use crate::base::hex;

/// The key of the log at `path`, which is made at the first start. The public one is beside it.
pub(super) fn of_log(path: &Path) -> Result<Signer, AuditError> {
    let file = beside(path, ".key");
    let failed = |error: String| AuditError::Key {
        path: display(&file),
        error,
    };
    let io = |error: io::Error| failed(error.to_string());
    let signer = match read(&file) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => make(&file).map_err(io)?,
        other => other.map_err(io)?,
    };
    let public = public_key(path);
    let text = format!("{}\n", signer.public());
    if fs::read_to_string(&public).ok().as_ref() != Some(&text) {
        fs::write(&public, text).map_err(io)?;
    }
    Ok(signer)
}

/// A key for a log whose reader sees it from its first line, such as standard output.
pub(super) fn of_process() -> Result<Signer, AuditError> {
    Signer::generate(&name()).ok_or_else(|| AuditError::Key {
        path: "of this process".to_owned(),
        error: NO_RANDOM.to_owned(),
    })
}

const NO_RANDOM: &str = "the system gives no random numbers";

fn read(file: &Path) -> io::Result<Signer> {
    let text = Zeroizing::new(fs::read_to_string(file)?);
    Signer::decode(text.trim()).ok_or_else(|| io::Error::other("this is no key of an audit log"))
}

/// Makes a key that only its owner may read.
fn make(file: &Path) -> io::Result<Signer> {
    let signer = Signer::generate(&name()).ok_or_else(|| io::Error::other(NO_RANDOM))?;
    let new = beside(file, ".tmp");
    let mut opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    opened.write_all(signer.encode().as_bytes())?;
    opened.write_all(b"\n")?;
    opened.sync_all()?;
    // The lock of the log is held: nobody else makes a key for it at this moment.
    fs::rename(new, file)?;
    Ok(signer)
}

/// The name of a new log, which no other one has.
fn name() -> String {
    let host = nix::unistd::gethostname().unwrap_or_default();
    let mut host = host.to_string_lossy().into_owned();
    host.retain(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'));
    let id = uuid::Uuid::new_v4();
    format!("pgvalet/{host}/{}", hex::encode(&id.as_bytes()[..8]))
}
