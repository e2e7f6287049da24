//! Which Postgres server the demo can start, and as which user.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{User, geteuid};

use super::DemoError;

/// `initdb` and `postgres` of one version.
#[derive(Debug)]
pub struct Binaries {
    bin: PathBuf,
    /// Such as `15.18`.
    pub version: String,
    /// The user to run it as where the demo runs as root, which Postgres refuses.
    pub user: Option<User>,
}

impl Binaries {
    /// # Errors
    /// [`DemoError::NoPostgres`], [`DemoError::NoUser`]
    pub fn find() -> Result<Self, DemoError> {
        let user = unprivileged()?;
        candidates()
            .into_iter()
            .find_map(|bin| Self::at(&bin, user.as_ref()))
            .ok_or(DemoError::NoPostgres)
    }

    /// The server in a directory, if the user that it will run as can run it.
    fn at(bin: &Path, user: Option<&User>) -> Option<Self> {
        let mut found = Self {
            bin: bin.canonicalize().ok()?,
            version: String::new(),
            user: user.cloned(),
        };
        found.bin.join("initdb").exists().then_some(())?;
        let output = found
            .command("postgres")
            .arg("--version")
            .current_dir("/")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        // "postgres (PostgreSQL) 15.18 (Debian …)"
        let text = String::from_utf8(output.stdout).ok()?;
        found.version = text.split_whitespace().nth(2)?.to_owned();
        Some(found)
    }

    /// A command that runs a program of this version in a process group of its own, so that
    /// Ctrl-C reaches only the demo. The program ends with the demo where the system can do that.
    pub fn command(&self, program: &str) -> Command {
        let program = self.bin.join(program);
        let setpriv = Path::new("/usr/bin/setpriv");
        let mut command = if setpriv.exists() {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "QUIT", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        if let Some(user) = &self.user {
            // This gives up the groups of root as well.
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command.process_group(0);
        command
    }
}

/// The one command that brings a Postgres server to this machine.
pub(super) fn how_to_install() -> &'static str {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |program: &str| std::env::split_paths(&path).any(|bin| bin.join(program).exists());
    INSTALLERS
        .iter()
        .find(|(program, _)| has(program))
        .map_or("install PostgreSQL", |(_, command)| command)
}

/// Package managers, and how each installs a server.
const INSTALLERS: &[(&str, &str)] = &[
    ("apt-get", "apt-get install postgresql"),
    ("dnf", "dnf install postgresql-server"),
    ("zypper", "zypper install postgresql-server"),
    ("apk", "apk add postgresql"),
    ("pacman", "pacman -S postgresql"),
    ("brew", "brew install postgresql@18"),
];

fn unprivileged() -> Result<Option<User>, DemoError> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    ["postgres", "nobody"]
        .iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .map(Some)
        .ok_or(DemoError::NoUser)
}

/// Directories to look in, in the order of preference. `PGVALET_PG_BIN`, a list like `PATH`,
/// replaces all others.
fn candidates() -> Vec<PathBuf> {
    if let Some(list) = std::env::var_os("PGVALET_PG_BIN") {
        return std::env::split_paths(&list).collect();
    }
    let mut candidates = versions("/usr/lib/postgresql", ""); // Debian
    candidates.extend(versions("/usr", "pgsql-")); // the RPM packages of PostgreSQL
    candidates.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    candidates.push(PathBuf::from(".cache/postgres18/bin"));
    for homebrew in ["/opt/homebrew/opt", "/usr/local/opt"] {
        candidates.extend(versions(homebrew, "postgresql@"));
    }
    candidates.extend(versions("/Applications/Postgres.app/Contents/Versions", ""));
    candidates
}

/// The directories `PARENT/PREFIX15/bin`, the newest version first.
fn versions(parent: &str, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return Vec::new();
    };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?;
            let major = version.split('.').next()?.parse().ok()?;
            Some((major, entry.path().join("bin")))
        })
        .collect();
    found.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
    found.into_iter().map(|(_, bin)| bin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_comes_first_and_by_number() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["9.6", "postgresql@17", "18", "15", "postgresql-common"] {
            std::fs::create_dir(parent.path().join(name)).unwrap();
        }
        let found = |prefix| -> Vec<_> {
            versions(parent.path().to_str().unwrap(), prefix)
                .iter()
                .map(|bin| bin.parent().unwrap().file_name().unwrap().to_owned())
                .collect()
        };
        assert_eq!(found(""), ["18", "15", "9.6"]);
        assert_eq!(found("postgresql@"), ["postgresql@17"]);
    }

    #[test]
    fn a_place_without_initdb_is_no_server() {
        let empty = tempfile::tempdir().unwrap();
        assert!(Binaries::at(empty.path(), None).is_none());
    }
}
