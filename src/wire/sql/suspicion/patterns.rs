//! Words and patterns by which a text is suspected.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::bytes::Regex;

use crate::wire::sql::LIMITS;

const WORDS: [&str; 10] = [
    "temp",
    "replication_",
    "backup_start",
    "start_backup",
    "advisory_",
    "set_config",
    "hold",
    "listen",
    "pg_settings",
    // An identifier with escapes may be any of these.
    "u&\"",
];

/// The beginnings of a comment: any statement may follow a comment.
const COMMENTS: [&str; 2] = ["/*", "--"];

/// A text that has one of these words is matched against the patterns.
pub(super) static SUSPICIOUS: LazyLock<Words> = LazyLock::new(|| Words::new(&WORDS));

/// A text without any of these has no word of [`SUSPICIOUS`] and no comment.
pub(super) static NOTEWORTHY: LazyLock<Words> =
    LazyLock::new(|| Words::new(&[&WORDS[..], &COMMENTS].concat()));

/// A text without any of these makes no table.
pub(super) static MAKING: LazyLock<Words> = LazyLock::new(|| Words::new(&["create", "into"]));

pub(super) static MAKES: LazyLock<Pattern> =
    LazyLock::new(|| Pattern::new(r"\bcreate\b|\bselect\b[\s\S]*\binto\b"));

/// Words of which a literal means another moment whenever it is read.
const MOMENT_WORDS: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];

/// A text without any of these means the same at any time.
pub(super) static MOMENTS: LazyLock<Words> =
    LazyLock::new(|| Words::new(&[&MOMENT_WORDS[..], &ESCAPES].concat()));

/// A literal that has none of these means the same at any time. Digits and signs may stand right
/// beside the word (ParseDateTime, datetime.c).
pub(super) static MOMENT: LazyLock<Pattern> = LazyLock::new(|| {
    let words = MOMENT_WORDS.join("|");
    Pattern::new(&format!("(?:^|[^a-z])(?:{words})(?:[^a-z]|$)"))
});

/// In a text without these, each literal is written as it is read.
pub(super) static ESCAPED: LazyLock<Words> = LazyLock::new(|| Words::new(&ESCAPES));

const ESCAPES: [&str; 2] = ["\\", "u&'"];

/// Two literals with a line end between them are one (`quotecontinue`, scan.l). Comments to the
/// end of a line may stand there, too.
pub(super) static CONTINUED: LazyLock<Pattern> =
    LazyLock::new(|| Pattern::new(r"'[ \t\f\v]*(--[^\r\n]*)?[\r\n](\s|--[^\r\n]*[\r\n])*'"));

/// `None` cannot happen, because the words are constants; it would mean: never suspect.
pub(super) struct Words(Option<AhoCorasick>);

impl Words {
    fn new(words: &[&str]) -> Self {
        let built = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            // The fastest to run, and small for a few words.
            .kind(Some(AhoCorasickKind::DFA))
            .build(words);
        Self(built.ok())
    }

    pub(super) fn are_in(&self, text: &[u8]) -> bool {
        self.0.as_ref().is_some_and(|words| words.is_match(text))
    }
}

/// `None` cannot happen, because patterns are constants; it would mean: never suspect.
pub(super) struct Pattern(Option<Regex>);

impl Pattern {
    fn new(text: &str) -> Self {
        Self(Regex::new(&format!("(?i-u){text}")).ok())
    }

    pub(super) fn is_in(&self, text: &[u8]) -> bool {
        self.0
            .as_ref()
            .is_some_and(|pattern| pattern.is_match(text))
    }

    pub(super) fn count(&self, text: &[u8]) -> usize {
        self.0.as_ref().map_or(0, |p| p.find_iter(text).count())
    }

    /// The groups of each match, of which the pattern has exactly `N`.
    pub(super) fn groups<'t, const N: usize>(
        &'t self,
        text: &'t [u8],
    ) -> impl Iterator<Item = [&'t [u8]; N]> {
        let matches = self.0.iter().flat_map(|p| p.captures_iter(text));
        matches.map(|found| found.extract().1)
    }
}

/// The name of a setting of a custom class. Each part may be quoted or not, and so may be the
/// whole; letters are any bytes above ASCII too.
const CUSTOM: &str = r#"("[^".]+\.[^"]+"|(?:[a-z_\x80-\xff][\w$\x80-\xff]*|"[^"]+")(?:\s*\.\s*(?:[a-z_\x80-\xff][\w$\x80-\xff]*|"[^"]+"))+)"#;

/// Temporary tables, advisory locks and WITH HOLD cursors.
pub(super) static STATE: LazyLock<Pattern> = LazyLock::new(|| {
    Pattern::new(
        r"\bcreate\s+(or\s+replace\s+)?((local|global)\s+)?temp(orary)?\b|\binto\s+((local|global)\s+)?temp(orary)?\b|\bpg_temp(_\d+)?\b|\bpg_(try_)?advisory_(un)?lock|\bwith\s+hold\b",
    )
});

/// Functions whose effect lasts as long as the connection, and that neither a question nor
/// DISCARD ALL takes back: the origin of what is replicated, temporary slots, a backup.
pub(super) static HOLDS: LazyLock<Pattern> = LazyLock::new(|| {
    Pattern::new(
        r#"\bpg_replication_origin_(session|xact)_setup"?\s*\(|\bpg_(create|copy)_(physical|logical)_replication_slot"?\s*\(|\bpg_(backup_start|start_backup)"?\s*\("#,
    )
});

pub(super) static LISTEN: LazyLock<Pattern> = LazyLock::new(|| Pattern::new(r"\b(un)?listen\b"));

/// What a SET or RESET is about, and what follows up to the value.
pub(super) static SET_TARGET: LazyLock<Pattern> =
    LazyLock::new(|| Pattern::new(r"(?:^|;)\s*(?:set|reset)\b\s*(?:session\s+)?([^=;']*)"));

pub(super) static LOCAL_TARGET: LazyLock<Pattern> = LazyLock::new(|| Pattern::new(r"^local\b"));

/// The name of a custom setting, and nothing else in front of the value.
pub(super) static CUSTOM_TARGET: LazyLock<Pattern> =
    LazyLock::new(|| Pattern::new(&format!(r"^{CUSTOM}[\s\x00]*(?:to\b|$)")));

/// A name of one part, and anything but a second part. The name of one that is quoted has no dot.
pub(super) static PLAIN_TARGET: LazyLock<Pattern> = LazyLock::new(|| {
    Pattern::new(
        r#"^[\s\x00]*$|^(?:[a-z_\x80-\xff][\w$\x80-\xff]*|"[^".]+")\s*(?:[^\s."&]|$)|^(?:[a-z_\x80-\xff][\w$\x80-\xff]*|"[^".]+")\s+[^\s.]"#,
    )
});

pub(super) static LIMIT_SET: LazyLock<Pattern> = LazyLock::new(|| {
    let names = LIMITS.join("|");
    Pattern::new(&format!(r#"(?:^|;)\s*set\s+(?:session\s+)?"?({names})\b"#))
});

/// A SET that ends with its transaction, at the beginning of a statement.
pub(super) static LOCAL_SET: LazyLock<Pattern> =
    LazyLock::new(|| Pattern::new(r"^set\s+(local|transaction|constraints)\b"));

/// `UPDATE pg_settings` sets what it updates (a rule of that view).
pub(super) static SETTINGS_UPDATE: LazyLock<Pattern> =
    LazyLock::new(|| Pattern::new(r"\bupdate\b[\s\S]*\bpg_settings\b"));

/// A setting of a custom class in the body of a DO.
pub(super) static DO_SET: LazyLock<Pattern> =
    LazyLock::new(|| Pattern::new(&format!(r"\bset\s+(?:session\s+)?{CUSTOM}")));

/// A statement in the body of a DO that is composed only when it runs.
pub(super) static DO_EXECUTE: LazyLock<Pattern> = LazyLock::new(|| Pattern::new(r"\bexecute\b"));

pub(super) static SET_CONFIG: LazyLock<Pattern> =
    LazyLock::new(|| Pattern::new(r#"\bset_config"?\s*\("#));

/// The whole call in its plain form: name and is_local as literals.
pub(super) static SET_CONFIG_PLAIN: LazyLock<Pattern> = LazyLock::new(|| {
    Pattern::new(
        r"\bset_config\s*\(\s*'([^']+)'\s*,\s*(?:'[^']*'|\$\d+(?:\s*::\s*\w+)?|[^(),]*)\s*,\s*(true|false)\s*\)",
    )
});
