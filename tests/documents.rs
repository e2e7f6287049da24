//! What documents promise is there: every test that docs/SECURITY.md names.

use std::fs;
use std::path::{Path, PathBuf};

/// `behaviour::denial::x` and the like, as they stand between backquotes.
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let under = |directory: &str, modules: &[&str]| {
        let path = modules.iter().fold(root.join(directory), |p, m| p.join(m));
        vec![
            path.with_extension("rs"),
            path.join("tests.rs"),
            path.join("mod.rs"),
        ]
    };
    match modules[0] {
        "behaviour" | "vault" | "rotate" => under("tests", modules),
        _ => under("src", modules),
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SECURITY.md");
    let text = fs::read_to_string(path).expect("docs/SECURITY.md");
    let named: Vec<_> = named(&text)
        .into_iter()
        .filter(|path| path.last() != Some(&"x"))
        .collect();
    assert!(named.len() > 30, "{}", named.len());
    for path in named {
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
        assert!(found, "docs/SECURITY.md names {}", path.join("::"));
    }
}
