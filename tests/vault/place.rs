//! A directory with a store, its key and a configuration.

use std::fs;
use std::path::{Path, PathBuf};

use pgvalet::vault::{Location, OpenError, Value, Vault};
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::cli;

pub struct Place {
    directory: TempDir,
    store: String,
}

impl Place {
    /// With a store in a file.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store = directory.path().join("store.db").display().to_string();
        Self::at(directory, store)
    }

    /// With a store on PostgreSQL.
    pub fn on(url: &str) -> Self {
        Self::at(tempfile::tempdir().expect("a directory"), url.to_owned())
    }

    fn at(directory: TempDir, store: String) -> Self {
        let place = Self { directory, store };
        let text = format!(
            "[store]\npath = {:?}\nkey_file = {:?}\n[audit]\npath = {:?}\n[admin]\naddress = \"\"\n\
             [database.a]\nsecret = \"a\"\n[[client]]\nname = \"c\"\nnetwork = [\"127.0.0.1\"]\n\
             databases = [\"a\"]\n",
            place.store,
            place.key(),
            place.path("audit.jsonl"),
        );
        fs::write(place.config(), text).expect("written");
        place
    }

    /// `[store] path`.
    pub fn store(&self) -> String {
        self.store.clone()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn config(&self) -> PathBuf {
        self.path("pgvalet.toml")
    }

    pub fn database(&self) -> PathBuf {
        self.path("store.db")
    }

    pub fn key(&self) -> PathBuf {
        self.path("store.key")
    }

    pub async fn open(&self) -> Result<Vault, OpenError> {
        Vault::open(location(&self.store), &self.key()).await
    }

    /// Runs a command that must succeed: what it printed.
    pub fn ok(&self, args: &[&str], stdin: &str) -> String {
        cli::pgvalet_ok(&self.config(), args, stdin)
    }
}

/// What `[store] path` means.
pub fn location(store: &str) -> Location {
    Location::parse(store, |path| path.into()).expect("a file or a URL")
}

pub fn text(value: &str) -> Value {
    Value::Text(Zeroizing::new(value.to_owned()))
}

pub fn shown(value: &Value) -> &str {
    match value {
        Value::Text(text) => text,
        Value::Binary(_) => panic!("text was put"),
    }
}
