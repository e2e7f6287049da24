//! One word for one thing: docs/GLOSSARY.md defines the words, and the documents use no
//! other words for these things.

use crate::{documents, read};

/// The vocabulary that code, logs, metrics and documents share.
const WORDS: [&str; 17] = [
    "client",
    "database",
    "secret",
    "version",
    "label",
    "credential",
    "grant",
    "generation",
    "adopt",
    "drain",
    "lease",
    "quiet",
    "fence",
    "rule",
    "pin",
    "trouble",
    "replica",
];

/// Words and phrases that documents avoid, and what they say instead.
const AVOIDED: [(&str, &str); 14] = [
    ("evidence", "identity"),
    ("wish", "requested database and user"),
    ("wishes", "requested database and user"),
    ("in vain", "without success, failed"),
    ("knock", "connect"),
    ("crowd", "the connections of one address"),
    ("stranger", "a client that is not identified yet"),
    ("strangers", "clients that are not identified yet"),
    ("colleague", "another client of the same rule"),
    ("gives way", "is closed"),
    ("give way", "are closed"),
    ("take turns", "alternate"),
    ("is no matter of", "is not the cause"),
    ("looked into are", "we inspect"),
];

#[test]
fn the_glossary_defines_the_vocabulary() {
    let glossary = read("docs/GLOSSARY.md");
    for word in WORDS {
        let row = format!("| {word} | ");
        assert!(glossary.contains(&row), "docs/GLOSSARY.md lacks {word}");
    }
    assert!(read("README.md").contains("(docs/GLOSSARY.md)"));
    assert!(read("docs/ARCHITECTURE.md").contains("(GLOSSARY.md)"));
}

#[test]
fn documents_use_one_word_for_one_thing() {
    for document in documents() {
        let text = words(&prose(&read(&document)));
        for (avoided, instead) in AVOIDED {
            let found = text.contains(&format!(" {avoided} "));
            let document = document.display();
            assert!(!found, "{document} says \"{avoided}\"; say: {instead}");
        }
    }
}

#[test]
fn code_is_no_prose() {
    assert_eq!(
        words(&prose("A `wish`,\nor\n```\nknock\n```\nin vain.")),
        " a or in vain "
    );
}

/// The text without code, which has names of its own.
fn prose(text: &str) -> String {
    let outside = |text: &str, mark: &str| {
        let parts: Vec<&str> = text.split(mark).step_by(2).collect();
        parts.join(" ")
    };
    outside(&outside(text, "```"), "`")
}

/// The words in lower case, each between two spaces.
fn words(text: &str) -> String {
    let text = text.to_lowercase();
    let words: Vec<&str> = text
        .split(|c: char| !c.is_alphanumeric() && c != '-')
        .filter(|word| !word.is_empty())
        .collect();
    format!(" {} ", words.join(" "))
}
