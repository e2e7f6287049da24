//! Which Postgres servers there are to test with.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use super::repository;

/// The directory with `initdb` and `postgres` of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    pub bin: PathBuf,
    pub major: u32,
}

impl Binaries {
    fn at(bin: &Path) -> Option<Self> {
        // The resolved path: a link in the repository may lead out of a
        // directory that the user `postgres` cannot enter.
        let bin = bin.canonicalize().ok()?;
        let output = super::tethered(bin.join("postgres"), "KILL", Some("postgres"))
            .arg("--version")
            .current_dir("/")
            .stderr(Stdio::null())
            .output()
            .ok()?;
        bin.join("initdb").exists().then_some(())?;
        // "postgres (PostgreSQL) 15.18 (Debian …)"
        let text = String::from_utf8(output.stdout).ok()?;
        let major = text.split(' ').nth(2)?.split('.').next()?.parse().ok()?;
        Some(Self { bin, major })
    }
}

/// The binaries of each major version at hand, newest first. `PGVALET_PG_BIN` (a
/// list like `PATH`) leaves no choice.
pub fn all() -> Vec<Binaries> {
    static ALL: LazyLock<Vec<Binaries>> = LazyLock::new(find);
    ALL.clone()
}

fn find() -> Vec<Binaries> {
    let mut found: Vec<Binaries> = Vec::new();
    for candidate in candidates() {
        if let Some(binaries) = Binaries::at(&candidate)
            && !found.iter().any(|b| b.major == binaries.major)
        {
            found.push(binaries);
        }
    }
    assert!(
        !found.is_empty(),
        "no Postgres server found; run scripts/setup.sh or set PGVALET_PG_BIN"
    );
    found.sort_by_key(|b| std::cmp::Reverse(b.major));
    found
}

fn candidates() -> Vec<PathBuf> {
    if let Some(list) = std::env::var_os("PGVALET_PG_BIN") {
        return std::env::split_paths(&list).collect();
    }
    let mut candidates = vec![repository().join(".cache/postgres18/bin")];
    for (parent, below) in [
        ("/usr/lib/postgresql", "bin"),
        ("/opt/homebrew/opt", "bin"),
        ("/usr/local/opt", "bin"),
    ] {
        let Ok(entries) = std::fs::read_dir(parent) else {
            continue;
        };
        candidates.extend(entries.flatten().map(|entry| entry.path().join(below)));
    }
    candidates.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    candidates.retain(|bin| bin.join("postgres").exists());
    candidates
}

/// A client program such as `psql` or `pgbench`.
pub fn client_program(name: &str) -> Command {
    let from_debian = all()
        .into_iter()
        .map(|b| b.bin.join(name))
        .find(|path| path.exists());
    Command::new(from_debian.unwrap_or_else(|| name.into()))
}
