//! The content of a secret: a JSON document, or a file for each key.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::place::{Place, failed, inside};
use crate::secret::{SecretId, StoreError};

/// The most bytes of a file; more is no credential.
const LARGEST: u64 = 65_536;
/// How often a directory is read again because it changed meanwhile.
const TRIES: usize = 5;

/// The keys of a credential, and what else they are called: PGO writes `user`.
const KEYS: [(&str, &[&str]); 7] = [
    ("engine", &["engine"]),
    ("host", &["host"]),
    ("port", &["port"]),
    ("dbname", &["dbname"]),
    ("username", &["username", "user"]),
    ("password", &["password"]),
    ("auth", &["auth"]),
];

/// The files that were read, with what changes when one of them does.
type Stamp = Vec<(PathBuf, Option<(u64, u64, i64, i64, u64)>)>;

/// What was read.
pub(super) struct Content {
    /// JSON.
    pub value: Zeroizing<String>,
    /// The files.
    pub files: Vec<PathBuf>,
}

/// Reads a secret, all of it from one state of the file system, as far as whoever
/// writes it changes it at once.
pub(super) fn read(root: &Path, id: &SecretId, place: &Place) -> Result<Content, StoreError> {
    match place {
        Place::File(path) => Ok(Content {
            value: text(path)?,
            files: vec![path.clone()],
        }),
        Place::Directory(directory) => {
            let root = fs::canonicalize(root).map_err(|e| failed(root, &e))?;
            let mut last = None;
            for _ in 0..TRIES {
                match keys(&root, directory) {
                    Ok(Some(content)) => return Ok(content),
                    Ok(None) => {}
                    // The old state is removed when the new one is there.
                    Err(e @ StoreError::NotFound(_)) => last = Some(e),
                    Err(e) => return Err(e),
                }
            }
            Err(last.unwrap_or_else(|| {
                StoreError::Unavailable(format!("{id}: {} keeps changing", directory.display()))
            }))
        }
    }
}

/// The keys in a directory; `None` if they changed meanwhile.
fn keys(root: &Path, directory: &Path) -> Result<Option<Content>, StoreError> {
    // Kubernetes and the CSI driver put all keys into a new directory, and let
    // `..data` lead to it: what is read of one such directory belongs together.
    let state = match fs::canonicalize(directory.join("..data")) {
        Ok(state) => inside(root, state)?,
        Err(_) => directory.to_owned(),
    };
    let before = stamp(&state);
    let mut json = serde_json::Map::new();
    let mut files = Vec::new();
    for (key, names) in KEYS {
        for name in names {
            let path = match fs::canonicalize(state.join(name)) {
                Ok(path) => inside(root, path)?,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(failed(&state.join(name), &e)),
            };
            let value = text(&path)?;
            json.insert(key.to_owned(), without_line_end(&value).into());
            files.push(path);
            break;
        }
    }
    let value = Zeroizing::new(serde_json::Value::Object(json).to_string());
    let moved = fs::canonicalize(directory.join("..data"))
        .ok()
        .is_some_and(|now| now != state);
    let same = !moved && stamp(&state) == before;
    Ok(same.then_some(Content { value, files }))
}

fn stamp(directory: &Path) -> Stamp {
    let names = KEYS.iter().flat_map(|(_, names)| names.iter());
    names
        .map(|name| {
            let path = directory.join(name);
            let found = fs::metadata(&path).ok();
            let found = found.map(|m| (m.dev(), m.ino(), m.mtime(), m.mtime_nsec(), m.size()));
            (path, found)
        })
        .collect()
}

/// Editors and `echo` end a file with a line end that belongs to no password.
fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

fn text(path: &Path) -> Result<Zeroizing<String>, StoreError> {
    let at = |e: io::Error| failed(path, &e);
    let metadata = fs::metadata(path).map_err(at)?;
    // Opening a pipe would wait for its writer.
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(StoreError::InvalidRequest(format!(
            "{} is no file of at most {LARGEST} bytes",
            path.display()
        )));
    }
    // In full size, because a text that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(
        usize::try_from(LARGEST).unwrap_or(0) + 1,
    ));
    let file = File::open(path).map_err(at)?;
    file.take(LARGEST).read_to_end(&mut bytes).map_err(at)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        StoreError::InvalidRequest(format!("{} is not text in UTF-8", path.display()))
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}
