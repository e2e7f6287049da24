//! The bearer token of the admin listener: the configured one, or one that the proxy
//! makes beside its data.

use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::http::{HeaderMap, header};
use zeroize::Zeroizing;

use crate::base::hex;

/// The fewest bytes of a token; a shorter one can be guessed.
const TOKEN_BYTES: usize = 16;

/// The bearer token that a request must have.
#[derive(Clone)]
pub struct Token(Arc<Zeroizing<String>>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Why there is no token in a file.
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
}

impl Token {
    /// `None` if the text is too short, or does not fit into a header.
    pub(super) fn new(text: &str) -> Option<Self> {
        let fit = text.len() >= TOKEN_BYTES && text.bytes().all(|b| b.is_ascii_graphic());
        fit.then(|| Self(Arc::new(Zeroizing::new(text.to_owned()))))
    }

    /// Reads `[admin] token_file`, without the blanks around the token.
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

    /// Makes a new token in a file that only this user can read, in place of the one before.
    /// Somebody who got the old token, for example by listening on this port while the
    /// proxy was down, cannot use it.
    ///
    /// # Errors
    /// [`TokenError::NotMade`]
    pub fn make(path: &Path) -> Result<Self, TokenError> {
        write_new(path).map_err(|error| TokenError::NotMade {
            path: path.display().to_string(),
            error,
        })
    }

    /// The token that another process has made; `None` if it is none.
    #[must_use]
    pub fn inherit(text: &str) -> Option<Self> {
        Self::new(text)
    }

    /// The token as text, for the process that replaces this one.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The value of an Authorization header.
    pub(super) fn header(&self) -> String {
        format!("Bearer {}", self.0.as_str())
    }

    /// Whether the request has this token. The comparison takes the same time however much
    /// of it is right.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.as_bytes().split_at_checked(7))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer "))
            .is_some_and(|(_, token)| verify_slices_are_equal(token, self.0.as_bytes()).is_ok())
    }
}

/// Writes a new token. The file appears whole or not at all.
fn write_new(path: &Path) -> io::Result<Token> {
    let mut random = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut *random).map_err(|_| io::Error::other("no random numbers"))?;
    let text = Zeroizing::new(hex::encode(&*random));
    if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        // The audit log makes its directory with the same mode.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
    }
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", std::process::id()));
    let draft = Path::new(&draft);
    let _ = fs::remove_file(draft); // of a killed process with the same pid
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| fs::rename(draft, path));
    if written.is_err() {
        let _ = fs::remove_file(draft);
    }
    written.map(|()| Token(Arc::new(text)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_token_is_made_anew_and_for_its_user_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("data/admin.token");
        let first = Token::make(&path).expect("made");
        let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&directory.path().join("data")), 0o700);
        assert_eq!(first.header().len(), "Bearer ".len() + 64);
        assert_eq!(first.header(), Token::read(&path).expect("read").header());

        // A link in its place is replaced, not followed.
        let other = directory.path().join("other");
        fs::write(&other, "somebody's").expect("written");
        fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink(&other, &path).expect("a link");
        let second = Token::make(&path).expect("made");
        assert_ne!(first.header(), second.header());
        assert_eq!(second.header(), Token::read(&path).expect("read").header());
        assert_eq!(fs::read_to_string(&other).expect("read"), "somebody's");
        let names = fs::read_dir(path.parent().expect("a directory")).expect("listed");
        assert_eq!(names.count(), 1, "no draft is left");
        assert_eq!(mode(&path), 0o600);
    }
}
