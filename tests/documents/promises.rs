//! Every test that docs/SECURITY.md, docs/RELIABILITY.md and docs/ISOLATION.md name exists.

use std::fs;
use std::path::PathBuf;

use crate::{read, root};

/// `behaviour::identity::denial::x` and the like, as they stand between backquotes.
fn named(text: &str) -> Vec<Vec<&str>> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| code.contains("::") && !code.contains('…'))
        .map(|code| code.split("::").collect())
        .collect()
}

/// Where a test of this path may stand.
fn places(modules: &[&str]) -> Vec<PathBuf> {
    let under = |directory: &str, modules: &[&str]| {
        let path = modules
            .iter()
            .fold(root().join(directory), |p, m| p.join(m));
        vec![
            path.with_extension("rs"),
            path.join("tests.rs"),
            path.join("mod.rs"),
        ]
    };
    match modules[0] {
        "behaviour" | "rotate" | "aws_store" => under("tests", modules),
        // Of this name there are both.
        "vault" => [under("tests", modules), under("src", modules)].concat(),
        _ => under("src", modules),
    }
}

#[test]
fn every_test_that_is_named_exists() {
    assert!(check("docs/SECURITY.md", places) > 30);
    assert!(check("docs/RELIABILITY.md", places) >= 14);
    let isolation = |modules: &[&str]| {
        let path = root().join("tests/isolation").join(modules[0]);
        vec![path.with_extension("rs")]
    };
    assert!(check("docs/ISOLATION.md", isolation) > 20);
}

/// How many tests a document names, each of which is there.
fn check(document: &str, places: impl Fn(&[&str]) -> Vec<PathBuf>) -> usize {
    let text = read(document);
    let named: Vec<_> = named(&text)
        .into_iter()
        .filter(|path| path.last() != Some(&"x"))
        .collect();
    for path in &named {
        let (function, modules) = path.split_last().expect("a path");
        let wanted = format!("fn {function}(");
        let found = places(modules).into_iter().any(|file| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            lines.iter().enumerate().any(|(n, line)| {
                let before = lines[..n].iter().rev().take_while(|l| l.starts_with('#'));
                line.contains(&wanted) && before.clone().any(|l| l.contains("test"))
            })
        });
        assert!(found, "{document} names {}", path.join("::"));
    }
    named.len()
}
