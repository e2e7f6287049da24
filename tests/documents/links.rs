//! What a document or a comment points at exists.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{documents, read, root};

/// The targets of links to other files, as they stand in `](…)`, without `#…`.
fn links(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter_map(|link| link.split('#').next())
        .filter(|link| !link.is_empty() && !link.contains("://"))
        .collect()
}

#[test]
fn every_link_leads_to_a_file() {
    for document in documents() {
        let directory = root().join(document.parent().expect("a directory"));
        for link in links(&read(&document)) {
            let document = document.display();
            assert!(directory.join(link).exists(), "{document} links to {link}");
        }
    }
}

#[test]
fn the_readme_leads_to_every_document() {
    let readme = read("README.md");
    for document in documents() {
        let link = format!("({})", document.display());
        let found = document == Path::new("README.md") || readme.contains(&link);
        assert!(found, "README.md does not link to {}", document.display());
    }
}

/// Every file of text under a directory of the repository.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory");
    entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| !path.ends_with("node_modules") && !path.ends_with("target"))
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        })
        .collect()
}

#[test]
fn comments_name_documents_that_exist() {
    let mut named = 0;
    for directory in ["src", "tests", "scripts", "config", "deploy"] {
        for file in files(&root().join(directory)) {
            // What is no text names no document.
            let text = fs::read_to_string(&file).unwrap_or_default();
            for rest in text.split("docs/").skip(1) {
                let end = rest.find(|c: char| !c.is_ascii_uppercase() && c != '-');
                let name = end.map_or(rest, |end| &rest[..end]);
                if name.is_empty() || !rest[name.len()..].starts_with(".md") {
                    continue;
                }
                let document = format!("docs/{name}.md");
                let file = file.display();
                assert!(root().join(&document).exists(), "{file}: {document}");
                named += 1;
            }
        }
    }
    assert!(named > 20, "{named}");
}

/// Paths of files and modules that a text names between backquotes, such as
/// `session/replies.rs`, `access/token` or `tests/isolation`.
fn paths(text: &str) -> Vec<&str> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| code.contains('/') && !code.starts_with('/'))
        .filter(|code| {
            code.chars()
                .all(|c| c.is_ascii_alphanumeric() || "/_.-".contains(c))
        })
        .collect()
}

#[test]
fn documents_name_files_that_exist() {
    let exists = |path: &str| {
        [root().join("src"), root().into()]
            .iter()
            .any(|base| base.join(path).exists() || base.join(format!("{path}.rs")).exists())
    };
    let mut named = 0;
    for document in documents() {
        let architecture = document == Path::new("docs/ARCHITECTURE.md");
        for path in paths(&read(&document)) {
            // Elsewhere a path may also be one of a user's machine or of a URL.
            if architecture || path.ends_with(".rs") {
                assert!(exists(path), "{} names {path}", document.display());
                named += 1;
            }
        }
    }
    assert!(named > 60, "{named}");
}
