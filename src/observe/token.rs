//! The bearer token of the admin listener: one that is configured, or one that the proxy
//! makes for itself beside its data.

use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::http::{HeaderMap, header};
use zeroize::Zeroizing;

/// Shorter tokens can be guessed.
const TOKEN_BYTES: usize = 16;

/// The bearer token that a caller must show.
#[derive(Clone)]
pub struct Token(Arc<Zeroizing<String>>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Why a file holds no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("the token file {path} cannot be read: {error}")]
    Unreadable { path: String, error: io::Error },
    #[error(
        "the token in {0} is too short or has blanks in it; make one with: openssl rand -hex 32"
    )]
    Unfit(String),
    #[error("the token file {path} cannot be made: {error}")]
    NotMade { path: String, error: io::Error },
    #[error("the token file {0} is another user's, or others may read it; remove it")]
    Exposed(String),
}

impl Token {
    /// `None`: too short, or it does not fit into a header.
    pub(super) fn new(text: &str) -> Option<Self> {
        let fit = text.len() >= TOKEN_BYTES && text.bytes().all(|b| b.is_ascii_graphic());
        fit.then(|| Self(Arc::new(Zeroizing::new(text.to_owned()))))
    }

    /// Reads `[admin] token_file`; blanks around the token do not count.
    ///
    /// # Errors
    /// [`TokenError`]
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let name = || path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| TokenError::Unreadable {
            path: name(),
            error,
        })?;
        let text = Zeroizing::new(text);
        Self::new(text.trim()).ok_or_else(|| TokenError::Unfit(name()))
    }

    /// The token that stands in a file of this user's alone; made, with mode 0600, where
    /// there is none.
    ///
    /// # Errors
    /// [`TokenError`]
    pub fn read_or_make(path: &Path) -> Result<Self, TokenError> {
        let name = || path.display().to_string();
        let not_made = |error| TokenError::NotMade {
            path: name(),
            error,
        };
        match fs::symlink_metadata(path) {
            Ok(file) => {
                let own = file.uid() == nix::unistd::geteuid().as_raw();
                if !file.is_file() || !own || file.mode() & 0o077 != 0 {
                    return Err(TokenError::Exposed(name()));
                }
                Self::read(path)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                make(path).map_err(not_made)?;
                Self::read(path)
            }
            Err(e) => Err(not_made(e)),
        }
    }

    /// The value of an Authorization header.
    pub(super) fn header(&self) -> String {
        format!("Bearer {}", self.0.as_str())
    }

    /// In a time that does not tell how much of it is right.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.as_bytes().split_at_checked(7))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer "))
            .is_some_and(|(_, token)| verify_slices_are_equal(token, self.0.as_bytes()).is_ok())
    }
}

/// Appears whole or not at all, and never in the place of another.
fn make(path: &Path) -> io::Result<()> {
    let mut random = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut *random).map_err(|_| io::Error::other("no random numbers"))?;
    let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = Zeroizing::new(text + "\n");
    if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        // As the audit log does.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
    }
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", std::process::id()));
    let draft = Path::new(&draft);
    let _ = fs::remove_file(draft); // of a process of this number that was killed
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)?;
    let made = file
        .write_all(text.as_bytes())
        .and_then(|()| fs::hard_link(draft, path));
    fs::remove_file(draft)?;
    match made {
        // Another process was faster: its token is as good.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_is_made_once_and_for_its_user_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("data/admin.token");
        let first = Token::read_or_make(&path).expect("made");
        let mode = fs::metadata(&path).expect("there").mode();
        assert_eq!(mode & 0o777, 0o600);
        let data = fs::metadata(directory.path().join("data")).expect("there");
        assert_eq!(data.mode() & 0o777, 0o700);
        let again = Token::read_or_make(&path).expect("read");
        assert_eq!(first.header(), again.header());
        assert_eq!(first.header().len(), "Bearer ".len() + 64);
        let names = fs::read_dir(path.parent().expect("a directory")).expect("listed");
        assert_eq!(names.count(), 1, "no draft is left");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("a mode");
        let exposed = Token::read_or_make(&path);
        assert!(matches!(exposed, Err(TokenError::Exposed(_))));
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        let followed = Token::read_or_make(&link);
        assert!(matches!(followed, Err(TokenError::Exposed(_))));
    }
}
