//! The documents and the files in deploy/ are true: what they name exists, and they use
//! the words of docs/GLOSSARY.md.

use std::fs;
use std::path::{Path, PathBuf};

mod alerts;
mod architecture;
mod configuration;
mod language;
mod links;
mod metrics;
mod pgbouncer;
mod promises;
mod service;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file of the repository.
fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// README.md and every docs/*.md, relative to the repository.
fn documents() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(root().join("docs"))
        .expect("docs/")
        .map(|entry| Path::new("docs").join(entry.expect("an entry").file_name()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    paths.push("README.md".into());
    paths
}
