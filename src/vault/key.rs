//! The master key and the file it lives in.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::OpenError;

pub const KEY_LEN: usize = 32;

/// An AES-256 key in memory: wiped when dropped, impossible to print.
pub struct Key(Zeroizing<[u8; KEY_LEN]>);

impl Key {
    pub fn generate() -> Option<Self> {
        let mut key = Self(Zeroizing::new([0; KEY_LEN]));
        SystemRandom::new().fill(&mut key.0[..]).ok()?;
        Some(key)
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(Zeroizing::new(bytes.try_into().ok()?)))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0[..]
    }
}

/// Reads the key file; `None` when there is none.
pub fn read(path: &Path) -> Result<Option<Key>, OpenError> {
    let io = |doing| {
        move |source| OpenError::Io {
            doing,
            path: path.to_owned(),
            source,
        }
    };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io("read the key file")(e)),
    };
    // Asked of the open file, so that what is checked is what is read.
    let metadata = file.metadata().map_err(io("look at the key file"))?;
    if !metadata.is_file() {
        return Err(OpenError::KeyMalformed(path.to_owned()));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(OpenError::KeyExposed(path.to_owned(), mode));
    }
    let mut text = Zeroizing::new([0u8; 64]);
    let mut length = 0;
    while length < text.len() {
        match file.read(&mut text[length..]) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(io("read the key file")(e)),
        }
    }
    let mut bytes = Zeroizing::new([0u8; 48]);
    STANDARD
        .decode_slice(text[..length].trim_ascii(), &mut bytes[..])
        .ok()
        .and_then(|n| Key::from_bytes(&bytes[..n]))
        .map(Some)
        .ok_or_else(|| OpenError::KeyMalformed(path.to_owned()))
}

/// Makes a key file unless another process was faster; the key that is in the
/// file afterwards.
pub fn create(path: &Path) -> Result<Key, OpenError> {
    let key = Key::generate().ok_or(OpenError::NoRandomness)?;
    let mut text = Zeroizing::new([0u8; 45]);
    let length = STANDARD
        .encode_slice(key.bytes(), &mut text[..])
        .map_err(|_| OpenError::NoRandomness)?;
    text[length] = b'\n';

    let draft = Draft::new(path)?;
    let written = draft
        .write(&text[..])
        .and_then(|()| draft.publish(path))
        .map_err(|source| OpenError::Io {
            doing: "make the key file",
            path: path.to_owned(),
            source,
        })?;
    if written {
        return Ok(key);
    }
    read(path)?.ok_or_else(|| OpenError::KeyMalformed(path.to_owned()))
}

/// The directory a file is to stand in, made with mode 0700 where missing.
pub fn make_parent(path: &Path) -> Result<(), OpenError> {
    let directory = parent(path);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|source| OpenError::Io {
            doing: "make the directory",
            path: directory.to_owned(),
            source,
        })
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

/// A file under a temporary name, removed when dropped. Publishing links it to
/// its real name, which fails where that exists: readers see no file or a
/// whole one, and of two processes that create it one wins.
pub struct Draft {
    pub path: PathBuf,
}

impl Draft {
    pub fn new(target: &Path) -> Result<Self, OpenError> {
        let mut name = std::ffi::OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(format!(".{}", uuid::Uuid::new_v4().simple()));
        let path = parent(target).join(name);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|source| OpenError::Io {
                doing: "create a file beside",
                path: target.to_owned(),
                source,
            })?;
        Ok(Self { path })
    }

    fn write(&self, content: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(&self.path)?;
        file.write_all(content)?;
        file.sync_all()
    }

    /// Whether this draft became the file; not when there was one already.
    pub fn publish(&self, target: &Path) -> io::Result<bool> {
        match fs::hard_link(&self.path, target) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(e) => return Err(e),
        }
        // The name itself must survive a power cut.
        File::open(parent(target))?.sync_all()?;
        Ok(true)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_key_is_private_whole_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        assert!(read(&path).unwrap().is_none());
        let key = create(&path).ok().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert!(read(&path).unwrap().unwrap().bytes() == key.bytes());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_first_of_two_creators_wins() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        let first = create(&path).ok().unwrap();
        let second = create(&path).ok().unwrap();
        assert!(first.bytes() == second.bytes());
    }

    #[test]
    fn an_exposed_or_malformed_key_file_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        create(&path).ok().unwrap();
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let e = read(&path).err().unwrap();
            assert!(e.to_string().contains("chmod 600"), "{e}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for text in ["", "short", &"A".repeat(64), &STANDARD.encode([1; 31])] {
            fs::write(&path, text).unwrap();
            assert!(matches!(read(&path), Err(OpenError::KeyMalformed(_))));
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert!(read(dir.path()).is_err());
    }
}
