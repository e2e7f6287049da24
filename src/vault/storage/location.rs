//! Where a store is kept.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ServerUrl;

/// Where a store is kept: `[store] path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A file of SQLite.
    File(PathBuf),
    /// A schema of a PostgreSQL database.
    Server(Arc<ServerUrl>),
}

impl Location {
    /// Reads `[store] path`. `resolve` says what a relative path means.
    ///
    /// # Errors
    /// In words, what is wrong with a URL.
    pub fn parse(text: &str, resolve: impl Fn(&str) -> PathBuf) -> Result<Self, String> {
        if ServerUrl::is_meant(text) {
            return Ok(Self::Server(ServerUrl::parse(text, resolve)?.into()));
        }
        match text.split_once("://") {
            // A slip would make a file of that name.
            Some((scheme, _)) => Err(format!(
                "{scheme}:// is no place of a store; write \"postgres://…\", or the path of a file"
            )),
            None => Ok(Self::File(resolve(text))),
        }
    }

    /// The server, if it is on one.
    pub fn server(&self) -> Option<&Arc<ServerUrl>> {
        match self {
            Self::Server(url) => Some(url),
            Self::File(_) => None,
        }
    }

    /// The file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Server(_) => None,
        }
    }
}

/// The place as messages name it, behind "the store".
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(url) => url.fmt(f),
        }
    }
}

impl From<PathBuf> for Location {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl From<&PathBuf> for Location {
    fn from(path: &PathBuf) -> Self {
        Self::File(path.clone())
    }
}

impl From<&Location> for Location {
    fn from(location: &Location) -> Self {
        location.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_in_the_scheme_makes_no_file() {
        let parse = |text: &str| Location::parse(text, |path| PathBuf::from(path));
        for wrong in [
            "postgress://u@db/secrets",
            "Postgres://u@db/s",
            "https://x",
            "://",
        ] {
            let error = parse(wrong).expect_err(wrong);
            assert!(error.contains("postgres://"), "{error}");
        }
        assert!(parse("data/store.db").is_ok_and(|l| l.file().is_some()));
        assert!(parse("postgresql://u@db/secrets").is_ok_and(|l| l.server().is_some()));
    }
}
