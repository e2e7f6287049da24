//! The key of the fleet. It is never used itself: each use has a key that HKDF derives from it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Bytes read of the file. A key in base64 has 45 with its newline.
const FILE_LIMIT: u64 = 256;

pub(super) const KEY_LEN: usize = 32;

/// Why the key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("{}: {source}; pgvalet fleet key makes one, which all replicas need", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Unwritten { path: PathBuf, source: io::Error },
    #[error("{} is there already; remove it first if no replica needs it", .0.display())]
    Exists(PathBuf),
    #[error("{path} has mode {1:04o}, so that others can use it; chmod 600 {path}", path = .0.display())]
    Exposed(PathBuf, u32),
    #[error("{} has to hold 32 bytes in base64, as pgvalet fleet key makes it", .0.display())]
    Malformed(PathBuf),
    #[error("the system gives no random numbers")]
    NoRandomness,
}

/// A key in memory: wiped when dropped, impossible to print.
pub(super) struct FleetKey(Zeroizing<[u8; KEY_LEN]>);

/// What a derived key is for.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// Sealing addresses in keys of clients.
    CancelKeys,
    /// Marks in process ids.
    Marks,
    /// Requests to a replica, of one connection.
    Requests,
    /// Its answers.
    Answers,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::CancelKeys => b"pgvalet fleet 1 cancel keys",
            Self::Marks => b"pgvalet fleet 1 marks",
            Self::Requests => b"pgvalet fleet 1 requests",
            Self::Answers => b"pgvalet fleet 1 answers",
        }
    }
}

impl FleetKey {
    /// Reads the file, which other users may not read.
    ///
    /// # Errors
    /// [`KeyError`]
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let io = |source| KeyError::Io {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(io)?;
        // The mode is that of the open file, so that the file that is checked is the one that
        // is read. The group may read it, because Kubernetes gives files of secrets to it.
        let mode = file.metadata().map_err(io)?.mode() & 0o7777;
        if mode & 0o027 != 0 {
            return Err(KeyError::Exposed(path.to_owned(), mode));
        }
        let mut text = Zeroizing::new(Vec::with_capacity(FILE_LIMIT as usize));
        file.take(FILE_LIMIT).read_to_end(&mut text).map_err(io)?;
        Self::decode(&text).ok_or_else(|| KeyError::Malformed(path.to_owned()))
    }

    fn decode(text: &[u8]) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 48]);
        let length = STANDARD
            .decode_slice(text.trim_ascii(), &mut bytes[..])
            .ok()?;
        let key = bytes[..length].try_into().ok()?;
        Some(Self(Zeroizing::new(key)))
    }

    /// Makes the file of a new key, which only its owner can read. A file that there is stays.
    ///
    /// # Errors
    /// [`KeyError`]
    pub fn make(path: &Path) -> Result<(), KeyError> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        rand::fill(&mut key[..]).map_err(|_| KeyError::NoRandomness)?;
        let text = Zeroizing::new(format!("{}\n", STANDARD.encode(&key[..])));
        let unwritten = |source| KeyError::Unwritten {
            path: path.to_owned(),
            source,
        };
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        let mut file = file.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists(path.to_owned()),
            _ => unwritten(source),
        })?;
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_all());
        written.map_err(|source| {
            // A part of a key would be in the way of the next attempt.
            let _ = fs::remove_file(path);
            unwritten(source)
        })
    }

    #[cfg(any(test, fuzzing))]
    pub fn of(byte: u8) -> Self {
        Self(Zeroizing::new([byte; KEY_LEN]))
    }

    /// The key for a purpose. `salt`: what makes it one of a single connection.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`], in fact never: the length is one that HKDF can give.
    pub fn derive(
        &self,
        purpose: Purpose,
        salt: &[u8],
    ) -> Result<Zeroizing<[u8; KEY_LEN]>, KeyError> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        Salt::new(HKDF_SHA256, salt)
            .extract(&self.0[..])
            .expand(&[purpose.label()], HKDF_SHA256)
            .and_then(|derived| derived.fill(&mut key[..]))
            .map_err(|_| KeyError::NoRandomness)?;
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn each_purpose_and_salt_has_a_key_of_its_own() {
        let key = FleetKey::of(1);
        let mut seen = std::collections::HashSet::new();
        for purpose in [
            Purpose::CancelKeys,
            Purpose::Marks,
            Purpose::Requests,
            Purpose::Answers,
        ] {
            for salt in [&b""[..], b"a", b"b"] {
                let derived = key.derive(purpose, salt).expect("derived");
                assert!(seen.insert(derived.to_vec()));
            }
        }
        let other = FleetKey::of(2)
            .derive(Purpose::Marks, b"")
            .expect("derived");
        assert!(seen.insert(other.to_vec()));
    }

    #[test]
    fn a_key_that_is_made_can_be_used_and_is_never_overwritten() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let path = directory.path().join("fleet.key");
        FleetKey::make(&path).expect("made");
        let made = fs::read(&path).expect("a file");
        let mode = fs::metadata(&path).expect("a file").mode() & 0o7777;
        assert_eq!(mode, 0o600);
        FleetKey::read(&path).expect("a key");
        assert!(matches!(FleetKey::make(&path), Err(KeyError::Exists(_))));
        assert_eq!(fs::read(&path).expect("a file"), made);
        let other = directory.path().join("other.key");
        FleetKey::make(&other).expect("made");
        assert_ne!(fs::read(&other).expect("a file"), made);
        let nowhere = directory.path().join("nowhere/fleet.key");
        assert!(matches!(
            FleetKey::make(&nowhere),
            Err(KeyError::Unwritten { .. })
        ));
    }

    #[test]
    fn only_a_private_file_with_32_bytes_is_a_key() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let path = directory.path().join("fleet.key");
        let read = |text: &str, mode| {
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("a mode");
            FleetKey::read(&path)
        };
        let good = STANDARD.encode([7; 32]);
        assert!(FleetKey::read(&path).is_err_and(|e| e.to_string().contains("pgvalet fleet key")));
        assert!(read(&good, 0o600).is_ok_and(|k| k.0[..] == [7; 32]));
        assert!(read(&format!("{good}\n"), 0o440).is_ok());
        for mode in [0o604, 0o644, 0o620, 0o666] {
            let read = read(&good, mode);
            assert!(matches!(read, Err(KeyError::Exposed(_, m)) if m == mode));
        }
        for text in [
            "",
            "x",
            &STANDARD.encode([7; 31]),
            &STANDARD.encode([7; 33]),
        ] {
            assert!(
                matches!(read(text, 0o600), Err(KeyError::Malformed(_))),
                "{text}"
            );
        }
    }
}
