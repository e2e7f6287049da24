//! Where the master key is kept: in a file, in the environment, or in a file
//! wrapped by AWS KMS.
//!
//! While a key is being replaced, its successor is beside it in a file of the same
//! name with `.next` at its end: see [`rekey`](super::rekey).

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::draft::{Draft, make_parent, sync_parent};
use super::key::Key;
use super::storage::with_suffix;
use super::{OpenError, kms};

/// Bytes read of a key file. A key in base64 has 45 with its newline; one that KMS
/// wrapped has a few hundred.
const FILE_LIMIT: usize = 8192;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file of mode 0600 with 32 bytes in base64.
    File(PathBuf),
    /// A variable of pgvalet's environment with 32 bytes in base64.
    Env(String),
    /// A file with the key, wrapped by a key of AWS KMS.
    Kms { key_id: String, file: PathBuf },
}

/// Follows "the" in messages: "the key file data/store.key".
impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "key file {}", file.display()),
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::Kms { key_id, file } => {
                write!(
                    f,
                    "key file {}, wrapped by KMS key {key_id},",
                    file.display()
                )
            }
        }
    }
}

impl From<&Path> for KeySource {
    fn from(file: &Path) -> Self {
        Self::File(file.to_owned())
    }
}

impl From<&PathBuf> for KeySource {
    fn from(file: &PathBuf) -> Self {
        Self::File(file.clone())
    }
}

impl KeySource {
    /// Parses the configuration's `file:PATH`, `env:NAME` or `kms:KEY_ID`. With the
    /// last one, `file` is where the wrapped key is.
    pub fn parse(text: &str, file: &Path) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("env", name)) if !name.is_empty() && !name.contains(['=', '\0']) => {
                Ok(Self::Env(name.to_owned()))
            }
            Some(("kms", key_id)) if !key_id.trim().is_empty() => Ok(Self::Kms {
                key_id: key_id.trim().to_owned(),
                file: file.to_owned(),
            }),
            _ => Err(format!(
                "{text:?} does not say where the key is; write \"file:PATH\", \"env:NAME\" or \
                 \"kms:KEY_ID\""
            )),
        }
    }

    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(file) | Self::Kms { file, .. } => Some(file),
            Self::Env(_) => None,
        }
    }

    /// Where the next key is while this one is being replaced.
    fn next(&self) -> Option<PathBuf> {
        self.file().map(|file| with_suffix(file, ".next"))
    }

    /// Reads the key; `None` if there is none. Waits for KMS if that wrapped the
    /// key, so it must not be called on the reactor.
    pub fn read(&self) -> Result<Option<Key>, OpenError> {
        match self {
            Self::File(file) | Self::Kms { file, .. } => self.read_file(file),
            Self::Env(name) => match std::env::var(name).map(Zeroizing::new) {
                Ok(text) => decode(text.trim().as_bytes())
                    .map(Some)
                    .ok_or_else(|| OpenError::KeyMalformed(self.to_string())),
                Err(std::env::VarError::NotPresent) => Ok(None),
                Err(std::env::VarError::NotUnicode(_)) => {
                    Err(OpenError::KeyMalformed(self.to_string()))
                }
            },
        }
    }

    /// Reads the key that replaces this one, if a rekey has begun.
    pub fn read_next(&self) -> Result<Option<Key>, OpenError> {
        match self.next() {
            Some(file) => self.read_file(&file),
            None => Ok(None),
        }
    }

    fn read_file(&self, file: &Path) -> Result<Option<Key>, OpenError> {
        let Some(text) = read_private(file)? else {
            return Ok(None);
        };
        let malformed = || OpenError::KeyMalformed(format!("key file {}", file.display()));
        let key = match self {
            Self::Kms { key_id, .. } => {
                let text = std::str::from_utf8(&text).map_err(|_| malformed())?;
                let wrapped = text
                    .trim_ascii()
                    .strip_prefix(KMS_HEADER)
                    .ok_or_else(malformed)?;
                let wrapped = STANDARD
                    .decode(wrapped.trim_ascii())
                    .map_err(|_| malformed())?;
                kms::unwrap(key_id, wrapped)?
            }
            Self::File(_) | Self::Env(_) => decode(text.trim_ascii()).ok_or_else(malformed)?,
        };
        Ok(Some(key))
    }

    /// Creates a key, unless another process was faster. Returns the key that is
    /// there afterwards.
    pub fn create(&self) -> Result<Key, OpenError> {
        match self.file() {
            Some(file) => self.create_file(file),
            None => Err(OpenError::KeyUnset(self.clone())),
        }
    }

    pub fn read_or_create(&self) -> Result<Key, OpenError> {
        match self.read()? {
            Some(key) => Ok(key),
            None => self.create(),
        }
    }

    /// Creates the next key. One that an earlier rekey left behind is used.
    pub fn create_next(&self) -> Result<Key, OpenError> {
        match (self.read_next()?, self.next()) {
            (Some(key), _) => Ok(key),
            (None, Some(file)) => self.create_file(&file),
            (None, None) => Err(OpenError::KeyUnset(self.clone())),
        }
    }

    fn create_file(&self, file: &Path) -> Result<Key, OpenError> {
        make_parent(file)?;
        let key = Key::generate().ok_or(OpenError::NoRandomness)?;
        let mut text = match self {
            Self::Kms { key_id, .. } => {
                let wrapped = kms::wrap(key_id, &key)?;
                Zeroizing::new(format!("{KMS_HEADER}{}", STANDARD.encode(wrapped)))
            }
            // Allocated in full size, because a text that grows leaves copies behind.
            Self::File(_) | Self::Env(_) => {
                let mut text = Zeroizing::new(String::with_capacity(64));
                STANDARD.encode_string(key.bytes(), &mut text);
                text
            }
        };
        text.push('\n');
        let draft = Draft::new(file)?;
        let published = draft
            .write(text.as_bytes())
            .and_then(|()| draft.publish(file))
            .map_err(io("make the key file", file))?;
        if published {
            return Ok(key);
        }
        self.read_file(file)?
            .ok_or_else(|| OpenError::KeyMalformed(format!("key file {}", file.display())))
    }

    /// Keeps the current key under a second name, because backups that were made
    /// with it need it. Has to be called before it is replaced.
    pub fn keep(&self, key: &Key) -> Result<Option<PathBuf>, OpenError> {
        let Some(file) = self.file() else {
            return Ok(None);
        };
        let name = with_suffix(file, &format!(".old-{}", key.fingerprint()));
        match fs::hard_link(file, &name) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(io("keep the old key in", &name)(e)),
        }
        Ok(Some(name))
    }

    /// Makes the next key the current one. May be called again after an
    /// interruption, and by several processes at once.
    pub fn promote_next(&self) -> Result<(), OpenError> {
        let (Some(file), Some(next)) = (self.file(), self.next()) else {
            return Ok(());
        };
        match fs::rename(&next, file) {
            Ok(()) => {}
            // Another process has done it.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(io("replace the key file", file)(e)),
        }
        sync_parent(file).map_err(io("replace the key file", file))
    }
}

/// Tells a key that KMS wrapped from a bare one.
const KMS_HEADER: &str = "pgvalet-kms-1 ";

fn decode(text: &[u8]) -> Option<Key> {
    let mut bytes = Zeroizing::new([0u8; 48]);
    let length = STANDARD.decode_slice(text, &mut bytes[..]).ok()?;
    Key::from_bytes(&bytes[..length])
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// Reads a file that only its owner can read; `None` if there is no file.
fn read_private(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, OpenError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io("read the key file", path)(e)),
    };
    // The mode is that of the open file, so that the file that is checked is the one
    // that is read.
    let metadata = file.metadata().map_err(io("look at the key file", path))?;
    if !metadata.is_file() {
        return Err(OpenError::KeyMalformed(format!(
            "key file {}",
            path.display()
        )));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(OpenError::KeyExposed(path.to_owned(), mode));
    }
    let mut text = Zeroizing::new(vec![0u8; FILE_LIMIT]);
    let mut length = 0;
    while length < text.len() {
        match file.read(&mut text[length..]) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(io("read the key file", path)(e)),
        }
    }
    text.truncate(length);
    Ok(Some(text))
}
