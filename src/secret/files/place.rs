//! Where a secret is: names, and the files and directories that they lead to.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use crate::secret::{SecretId, StoreError};

/// How deep below the path a secret may be when they are listed, and how many
/// entries are looked at.
const DEPTH: usize = 5;
const ENTRIES: usize = 10_000;

/// What a name leads to; without symbolic links, and below the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A JSON document.
    File(PathBuf),
    /// A file for each key.
    Directory(PathBuf),
}

/// Finds the file or directory of this name, or the file with `.json` behind it.
pub(super) fn find(root: &Path, id: &SecretId) -> Result<Place, StoreError> {
    let name = relative(id)?;
    let root = fs::canonicalize(root).map_err(|e| failed(root, &e))?;
    let mut with_json = root.join(name).into_os_string();
    with_json.push(".json");
    let (plain, with_json) = (root.join(name), PathBuf::from(with_json));
    let path = match fs::canonicalize(&plain) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            fs::canonicalize(&with_json).map_err(|e| match e.kind() {
                io::ErrorKind::NotFound => StoreError::NotFound(format!(
                    "{id}: there is neither {} nor {}",
                    plain.display(),
                    with_json.display()
                )),
                _ => failed(&with_json, &e),
            })?
        }
        found => found.map_err(|e| failed(&plain, &e))?,
    };
    let path = inside(&root, path)?;
    let metadata = fs::metadata(&path).map_err(|e| failed(&path, &e))?;
    match (metadata.is_file(), metadata.is_dir()) {
        (true, _) => Ok(Place::File(path)),
        (_, true) => Ok(Place::Directory(path)),
        _ => Err(StoreError::InvalidRequest(format!(
            "{id}: {} is neither a file nor a directory",
            path.display()
        ))),
    }
}

/// A name as a path below the store's. Nothing in it may lead out of there, or to
/// what `..data` hides.
fn relative(id: &SecretId) -> Result<&Path, StoreError> {
    let path = Path::new(id.within());
    let plain = |part: Component<'_>| match part {
        Component::Normal(name) => !name.as_encoded_bytes().starts_with(b".."),
        _ => false,
    };
    let odd = id.within().contains('\0') || id.within().ends_with('/');
    if odd || path.as_os_str().is_empty() || !path.components().all(plain) {
        return Err(StoreError::InvalidParameter(format!(
            "{:?} is no name of a secret in files; write the file's or directory's name, as it is \
             below [store] path",
            id.within()
        )));
    }
    Ok(path)
}

/// Refuses a path that symbolic links have led out of the root.
pub(super) fn inside(root: &Path, path: PathBuf) -> Result<PathBuf, StoreError> {
    match path.starts_with(root) && path != root {
        true => Ok(path),
        false => Err(StoreError::Denied(format!(
            "a symbolic link leads to {}, which is not below {}; put the file itself there, or \
             point [store] path at a directory above both",
            path.display(),
            root.display()
        ))),
    }
}

/// The error for a file that cannot be read.
pub(super) fn failed(path: &Path, error: &io::Error) -> StoreError {
    let text = format!("{}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::NotFound => StoreError::NotFound(text),
        io::ErrorKind::PermissionDenied => StoreError::Denied(text),
        _ => StoreError::Unavailable(text),
    }
}

/// Whether users who are neither the owner nor in the group of a file can read it:
/// by its own mode, and those of the directories from `root` down to it.
pub(super) fn is_open_to_others(root: &Path, file: &Path) -> bool {
    let allows = |path: &Path, bit: u32| {
        fs::metadata(path).is_ok_and(|m| m.permissions().mode() & bit == bit)
    };
    let mut above = file.ancestors().skip(1).take_while(|a| a.starts_with(root));
    allows(file, 0o004) && above.all(|directory| allows(directory, 0o001))
}

/// The names that may be those of secrets, in order.
pub(super) fn list(root: &Path) -> Result<Vec<SecretId>, StoreError> {
    let mut names = Vec::new();
    let mut left = ENTRIES;
    let mut waiting = vec![(root.to_owned(), String::new())];
    while let Some((directory, prefix)) = waiting.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(e) if prefix.is_empty() => return Err(failed(root, &e)),
            Err(_) => continue,
        };
        for entry in entries.flatten() {
            left = match left.checked_sub(1) {
                Some(left) => left,
                None => return Ok(ordered(names)),
            };
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if name.starts_with('.') {
                continue;
            }
            // Of what a link leads to.
            let Ok(metadata) = fs::metadata(entry.path()) else {
                continue;
            };
            let name = format!("{prefix}{name}");
            if metadata.is_file() {
                names.push(name.strip_suffix(".json").unwrap_or(&name).to_owned());
            } else if has_keys(&entry.path()) {
                names.push(name);
            } else if metadata.is_dir() && name.matches('/').count() < DEPTH {
                waiting.push((entry.path(), format!("{name}/")));
            }
        }
    }
    Ok(ordered(names))
}

fn ordered(mut names: Vec<String>) -> Vec<SecretId> {
    names.sort();
    names.dedup();
    names.into_iter().map(SecretId::new).collect()
}

/// Whether a directory is a secret with a file for each key.
fn has_keys(directory: &Path) -> bool {
    let keys = ["username", "user", "password"];
    keys.iter().any(|key| directory.join(key).is_file())
}
