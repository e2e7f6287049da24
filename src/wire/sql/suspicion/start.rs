//! How statements begin.

use super::patterns::LOCAL_SET;
use crate::wire::sql::comments::{is_white, is_word, without_comments};

/// A text without the white space it begins with.
pub(super) fn start(text: &[u8]) -> &[u8] {
    let white = text.iter().position(|b| !is_white(*b));
    &text[white.unwrap_or(text.len())..]
}

/// Whether a text begins with these letters, in either case.
pub(super) fn begins_with(start: &[u8], word: &[u8]) -> bool {
    let first = start.get(..word.len());
    first.is_some_and(|first| first.eq_ignore_ascii_case(word))
}

/// Whether a text without leading white space begins with SET, RESET, DISCARD,
/// DEALLOCATE, DO or CALL, or may have one of them behind a semicolon.
pub(super) fn may_set(start: &[u8]) -> bool {
    let begins = |word| begins_with(start, word);
    let first = match start.first() {
        Some(b's' | b'S') => begins(b"set"),
        Some(b'r' | b'R') => begins(b"reset"),
        Some(b'd' | b'D') => begins(b"discard") || begins(b"deallocate") || begins(b"do"),
        Some(b'c' | b'C') => begins(b"call"),
        _ => false,
    };
    first || has_second(start)
}

/// Whether there is more than one statement. The semicolon at the end, and the
/// NUL of the message, are everyday.
fn has_second(text: &[u8]) -> bool {
    memchr::memchr(b';', text).is_some_and(|at| {
        let rest = &text[at + 1..];
        !rest.iter().all(|b| is_white(*b) || *b == 0)
    })
}

/// Whether there are statements that begin with SET, and each of them ends with
/// its transaction. A semicolon in quotes makes more statements of a text than
/// there are, and never fewer.
pub(super) fn sets_locally(text: &[u8]) -> bool {
    let mut any = false;
    for statement in text.split(|b| *b == b';') {
        let statement = start(statement);
        if begins_with(statement, b"set") {
            any = true;
            if !LOCAL_SET.is_in(statement) {
                return false;
            }
        }
    }
    any
}

/// First words of statements whose settings matter when they run, not when they are parsed
/// (transformStmt, analyze.c, passes over utility statements), and most of which refuse to run
/// behind another statement of the same batch (PreventInTransactionBlock, xact.c). A CALL is
/// among them because its procedure may commit only if nothing ran before it.
const ALONE: [&[u8]; 12] = [
    b"alter",
    b"analyze",
    b"call",
    b"checkpoint",
    b"cluster",
    b"commit",
    b"discard",
    b"drop",
    b"prepare",
    b"reindex",
    b"rollback",
    b"vacuum",
];

/// What CREATE makes by a statement of that kind.
const CREATED_ALONE: [&[u8]; 5] = [
    b"database",
    b"index",
    b"subscription",
    b"tablespace",
    b"unique",
];

/// Whether a statement may have to be the first that its batch runs.
pub fn runs_alone(text: &[u8]) -> bool {
    let plain = without_comments(text, false);
    let (first, rest) = word(start(&plain));
    let is = |word: &[u8], known: &[&[u8]]| known.iter().any(|k| word.eq_ignore_ascii_case(k));
    is(first, &ALONE)
        || first.eq_ignore_ascii_case(b"create") && is(word(start(rest)).0, &CREATED_ALONE)
}

fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|b| !is_word(*b));
    text.split_at(end.unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_run_alone() {
        for text in [
            "vacuum t",
            " /* a */ VACUUM(full) t",
            "call p()",
            "create -- a\n database d",
            "create unique index concurrently i on t (a)",
            "Drop Index concurrently i",
            "discard all",
        ] {
            assert!(runs_alone(text.as_bytes()), "{text}");
        }
        for text in [
            "select 1",
            "create table t as select 1",
            "callback",
            "",
            "(table t)",
        ] {
            assert!(!runs_alone(text.as_bytes()), "{text}");
        }
    }
}
