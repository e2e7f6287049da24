//! Templates of clusters: `initdb` runs once for a version of Postgres, and each
//! cluster is a copy of what it made.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::files::give_to_postgres;
use crate::common::binaries::Binaries;
use crate::common::{new_password, tethered};

pub const SUPERUSER: &str = "postgres";

/// SCRAM for everybody. The WAL segments are small: a segment is the least that
/// is copied.
const INITDB: &[&str] = &[
    "--username",
    SUPERUSER,
    "--auth",
    "scram-sha-256",
    "--encoding",
    "UTF8",
    "--no-locale",
    "--no-sync",
    "--wal-segsize",
    "1",
];

/// Puts `data` and `superuser`, a file with the superuser's password, into a
/// directory.
pub fn copy_to(directory: &Path, binaries: &Binaries) {
    copy(&template(binaries), directory);
}

/// Copies what is in a directory, with modes and owners.
pub fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp")
        .arg("-Rp")
        .arg(from.join("."))
        .arg(to)
        .status()
        .expect("cp");
    assert!(copied.success(), "cp -Rp {} failed", from.display());
}

/// The template for a version of Postgres, which whoever needs it first makes.
fn template(binaries: &Binaries) -> PathBuf {
    let templates = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clusters");
    fs::create_dir_all(&templates).expect("a directory");
    let template = templates.join(name(binaries));
    let lock = File::create(template.with_extension("lock")).expect("a file");
    lock.lock().expect("a lock");
    if !template.exists() {
        let made = made(binaries);
        // Elsewhere first: what has the right name is complete.
        let new = template.with_extension("new");
        let _ = fs::remove_dir_all(&new);
        fs::create_dir(&new).expect("a directory");
        copy(made.path(), &new);
        fs::rename(new, &template).expect("in place");
    }
    template
}

/// The name changes with the program and with the arguments.
fn name(binaries: &Binaries) -> String {
    let mut hash = DefaultHasher::new();
    let program = binaries.bin.join("postgres");
    let changed = program.metadata().and_then(|m| m.modified());
    (program, changed.expect("a time"), INITDB).hash(&mut hash);
    format!("{}-{:016x}", binaries.major, hash.finish())
}

/// Runs `initdb` where the user `postgres` gets to, which the target directory
/// need not be.
fn made(binaries: &Binaries) -> TempDir {
    let directory = TempDir::with_prefix("pgvalet-template-").expect("a temporary directory");
    let base = directory.path();
    let password = base.join("superuser");
    fs::write(&password, new_password()).expect("the password file");
    give_to_postgres(base);
    let initdb = tethered(binaries.bin.join("initdb"), "KILL", Some("postgres"))
        .arg("--pgdata")
        .arg(base.join("data"))
        .arg("--pwfile")
        .arg(password)
        .args(INITDB)
        .current_dir(base)
        .output()
        .expect("initdb starts");
    assert!(
        initdb.status.success(),
        "initdb failed: {}",
        String::from_utf8_lossy(&initdb.stderr)
    );
    directory
}
