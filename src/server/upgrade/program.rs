//! Which program the new process runs.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

/// Set for the new process, whose standard input is the socket to the old one.
pub const VARIABLE: &str = "PGVALET_HANDOVER";

/// The program by whose name this process was started, as it is on disk now: a package, or a
/// link, may have changed it since.
///
/// # Errors
/// There is none by that name.
pub fn own() -> Result<PathBuf, String> {
    let name = env::args_os().next().ok_or("this process has no name")?;
    find(&name, env::var_os("PATH").as_deref())
        .ok_or_else(|| format!("there is no program {}", name.display()))
}

fn find(name: &OsStr, path: Option<&OsStr>) -> Option<PathBuf> {
    let named = Path::new(name);
    if named.components().count() > 1 {
        return std::path::absolute(named).ok();
    }
    let mut places = env::split_paths(path?).map(|directory| directory.join(named));
    places.find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    let found = std::fs::metadata(file);
    found.is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// Starts a program with the arguments of this process.
///
/// # Errors
/// It cannot be started.
pub fn start(program: &Path, input: Stdio) -> Result<Child, String> {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    Command::new(program)
        .args(arguments)
        .env(VARIABLE, std::process::id().to_string())
        .stdin(input)
        .spawn()
        .map_err(|e| format!("{} cannot be started: {e}", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_as_a_shell_does() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str, mode| {
            let file = directory.path().join(name);
            std::fs::write(&file, "").expect("written");
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("set");
            file
        };
        let (program, text) = (file("pgvalet", 0o755), file("notes", 0o644));
        let path = Some(directory.path().as_os_str());
        assert_eq!(find(OsStr::new("pgvalet"), path), Some(program.clone()));
        assert_eq!(find(OsStr::new("notes"), path), None);
        assert_eq!(find(OsStr::new("pgvalet"), None), None);
        // Where a path is named, that is it; starting it says what is wrong with it.
        assert_eq!(find(text.as_os_str(), None), Some(text));
        let here = find(OsStr::new("./pgvalet"), path).expect("a path");
        assert!(here.is_absolute() && here != program);
    }
}
