//! Imports run downwards: every `crate::part` in `src` leads to a part that stands below the
//! one it is written in. Tests may import whatever they need.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

/// From the top. Parts of one line do not know each other. docs/ARCHITECTURE.md has the
/// same lines.
const LAYERS: &[&[&str]] = &[
    &["cli"],
    &["server"],
    &["config"],
    &["admin"],
    &["session"],
    &["access"],
    &["pool"],
    &["rotation"],
    &["upstream"],
    &["vault"],
    &["secret"],
    &["audit"],
    &["fleet"],
    &["telemetry"],
    &["wire", "net"],
    &["metrics"],
    &["base"],
];

/// What is not yet true: (file, part). The list may only become shorter.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// Code that is there for tests alone, in a part of its own.
const BESIDE: &[&str] = &["fuzz"];

static COMMENT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?m)(^|[ \t])//.*$").unwrap());
static FOR_TESTS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"#\[cfg\((?:any\(|all\()?test[,)][^\]]*\]").unwrap());
static MODULE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?m)^ *(?:pub(?:\([a-z]+\))? )?mod ([a-z_0-9]+);").unwrap());
static IMPORT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?-u:\b)crate::([a-z_0-9]+)").unwrap());

fn layer(part: &str) -> Option<usize> {
    LAYERS.iter().position(|parts| parts.contains(&part))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a module and of those within, except what is there for tests.
fn files(module: &Path, found: &mut Vec<(PathBuf, String)>) {
    let file = module.with_extension("rs");
    let file = if file.exists() {
        file
    } else {
        module.join("mod.rs")
    };
    let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let text = without_tests(&text);
    for module_within in MODULE.captures_iter(&text) {
        files(&module.join(&module_within[1]), found);
    }
    found.push((file, text));
}

/// Without comments, and without the modules and items behind a `cfg` that names `test`.
fn without_tests(text: &str) -> String {
    let text = COMMENT.replace_all(text, "");
    let mut left = String::new();
    let mut rest = &*text;
    while let Some(found) = FOR_TESTS.find(rest) {
        left.push_str(&rest[..found.start()]);
        rest = &rest[found.end()..];
        // To the end of the item: a semicolon, or a block as rustfmt indents it.
        let indent = left.rsplit('\n').next().unwrap_or_default().to_owned();
        let block = rest.find('{').unwrap_or(rest.len());
        let is_use = rest[..block].contains("use ");
        let end = match rest.find(';') {
            Some(semicolon) if is_use || semicolon < block => semicolon + 1,
            _ => {
                let close = format!("\n{indent}}}");
                rest.find(&close).map_or(rest.len(), |at| at + close.len())
            }
        };
        rest = &rest[end..];
    }
    left + rest
}

/// The parts that a text names as `crate::part`, alone or in braces.
fn imports(text: &str) -> BTreeSet<String> {
    assert!(!text.contains("crate::{"), "write a use for each part");
    IMPORT
        .captures_iter(text)
        .map(|c| c[1].to_owned())
        .collect()
}

#[test]
fn imports_run_downwards() {
    let (mut climbs, mut looked_at) = (BTreeSet::new(), 0);
    for part in LAYERS.concat() {
        let mut found = Vec::new();
        files(&root().join("src").join(part), &mut found);
        looked_at += found.len();
        for (file, text) in found {
            let name = file.strip_prefix(root()).unwrap().display().to_string();
            for import in imports(&text) {
                let below = layer(&import)
                    .unwrap_or_else(|| panic!("{name}: {import} is in no layer of this test"));
                if import != part && below <= layer(part).unwrap() {
                    climbs.insert((name.clone(), import));
                }
            }
        }
    }
    assert!(looked_at > 200, "only {looked_at} files were found");
    let known = EXCEPTIONS.iter();
    let known = known.map(|(file, part)| ((*file).to_owned(), (*part).to_owned()));
    let known: BTreeSet<_> = known.collect();
    let new: Vec<_> = climbs.difference(&known).collect();
    assert!(new.is_empty(), "these imports climb: {new:#?}");
    let over: Vec<_> = known.difference(&climbs).collect();
    assert!(
        over.is_empty(),
        "these exceptions are not needed any more: {over:#?}"
    );
}

#[test]
fn every_part_has_a_layer_and_the_document_shows_them() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for part in lib.lines().filter_map(|l| l.strip_prefix("pub mod ")) {
        let part = part.trim_end_matches(';');
        assert!(layer(part).is_some() || BESIDE.contains(&part), "{part}");
    }
    let document = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let document = document.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = LAYERS.iter().map(|parts| parts.join(", ")).collect();
    let shown = lines.join(" → ");
    assert!(
        document.contains(&shown),
        "docs/ARCHITECTURE.md does not say: {shown}"
    );
}

#[test]
fn what_is_there_for_tests_does_not_count() {
    let text = "use crate::base::hex;\n// crate::cli\n#[cfg(test)]\nmod tests;\n\
        #[cfg(any(test, fuzzing))]\npub mod fuzz {\n    use crate::server::x;\n}\n\
        fn f() {\n    crate::net::g();\n}\n#[cfg(test)]\nmod more {\n    use crate::cli::y;\n}\n";
    let found = imports(&without_tests(text));
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["base", "net"]);
}
