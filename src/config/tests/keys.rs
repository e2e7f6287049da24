//! The definitions of keys agree with what is read and with the files that show them.

use super::*;
use crate::access::IdentityKind;
use crate::config::keys::{DOCUMENT, Default, Kind, Table};

/// Every table, with where a key of it can be written: text before it and after it.
fn places() -> Vec<(&'static Table, &'static str, &'static str)> {
    let table = |name: &str| DOCUMENT.below().find(|t| t.title == name).expect("a table");
    let inner = |name: &str, key: &str| {
        let title = format!("{key} = {{ … }}");
        table(name)
            .below()
            .find(|t| t.title == title)
            .expect("a table")
    };
    vec![
        (table("[listen]"), "[listen]\n", ""),
        (table("[admin]"), "[admin]\n", ""),
        (table("[store]"), "[store]\n", ""),
        (table("[audit]"), "[audit]\n", ""),
        (
            table("[audit]").below().next().expect("a table"),
            "[[audit.sink]]\n",
            "",
        ),
        (table("[database.NAME]"), "[database.other]\n", ""),
        (table("[[client]]"), "[[client]]\n", ""),
        (table("[secret.NAME]"), "[secret.a]\n", ""),
        (table("[rotation]"), "[rotation]\n", ""),
        (table("[fleet]"), "[fleet]\n", ""),
        (table("[runtime]"), "[runtime]\n", ""),
        (
            inner("[database.NAME]", "rotation"),
            "[database.o]\nrotation = { ",
            " }",
        ),
        (inner("[[client]]", "token"), "[[client]]\ntoken = { ", " }"),
        (
            inner("[[client]]", "aws_iam"),
            "[[client]]\naws_iam = { ",
            " }",
        ),
        (inner("[[client]]", "valid"), "[[client]]\nvalid = { ", " }"),
    ]
}

#[test]
fn every_table_is_looked_at() {
    let tables: usize = DOCUMENT.below().map(|t| 1 + t.below().count()).sum();
    assert_eq!(places().len(), tables);
}

/// Whatever else such a file lacks, nothing is wrong with the value.
#[test]
fn every_example_and_every_default_can_be_written() {
    for (table, before, after) in places() {
        for key in table.keys {
            let default = match key.default {
                Default::Value(text) => Some(text),
                Default::Required | Default::Absent(_) => None,
            };
            assert!(
                default.or(key.example).is_some() || matches!(key.kind, Kind::Words(_)),
                "{} {} has no example",
                table.title,
                key.name
            );
            for value in default.into_iter().chain(key.example) {
                let text = format!("{MINIMAL}\n{before}{} = {value}{after}\n", key.name);
                let said = read(&text).err().map(|e| e.to_string()).unwrap_or_default();
                let bad = format!(" {}: ", key.name);
                assert!(
                    !said.contains(&bad) && !said.contains("unknown key"),
                    "{said}"
                );
            }
        }
    }
}

/// `config/full.toml` has every key, at least in a comment.
#[test]
fn the_full_file_has_every_key() {
    let full = include_str!("../../../config/full.toml");
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for (table, _, _) in places() {
        for key in table.keys {
            let mut words = full.split(|c| !is_part(c));
            assert!(
                words.any(|word| word == key.name),
                "{} {}",
                table.title,
                key.name
            );
        }
    }
}

/// What the documents show can be used as it stands there.
#[test]
fn the_examples_of_the_documents_are_valid() {
    let examples = include_str!("../../../docs/EXAMPLES.md");
    let page = reference();
    let blocks: Vec<&str> = [examples, &page]
        .iter()
        .flat_map(|text| text.split("```toml\n").skip(1))
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(blocks.len() > 5);
    for block in blocks {
        let said = read(block).err().map(|e| e.to_string()).unwrap_or_default();
        for line in said.lines() {
            // An example may leave out the database that it is not about.
            let partial = line.contains("there is no database; ")
                || line.contains("there is no [database.")
                || line.contains("matches no database");
            assert!(partial, "{line}\nin\n{block}");
        }
    }
}

/// Every kind of identity has its key in `[[client]]`, and the page says that a rule needs one.
#[test]
fn every_kind_of_identity_is_a_key_of_a_rule() {
    let mut tables = DOCUMENT.below();
    let client = tables.find(|t| t.title == "[[client]]").expect("a table");
    for key in IdentityKind::ALL.map(IdentityKind::key) {
        let defined = client.key(key).expect(key);
        assert!(
            matches!(defined.default, Default::Absent("no condition")),
            "{key}"
        );
        assert!(client.about.contains(&format!("`{key}`")), "{key}");
    }
}
