//! Removes the comments of a statement's text, as Postgres' lexer reads it (scan.l).
//!
//! It is written here because a lexer for SQL would have to know the version and the
//! settings of the server; this reads only quotes and comments, both ways where they
//! depend on a setting.

use std::borrow::Cow;

/// Whether the lexer takes a byte for white space.
pub(super) fn is_white(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// Replaces each comment by a space. Comments are not looked for inside quotes of any
/// kind. Quotes that are never closed are left as they are, because the server refuses
/// such a text. With `escapes` a backslash in quotes escapes the next byte, as with
/// `standard_conforming_strings = off`.
pub(super) fn without_comments(text: &[u8], escapes: bool) -> Cow<'_, [u8]> {
    let mut out: Option<Vec<u8>> = None;
    let (mut at, mut from) = (0, 0);
    let begins = |b: &u8| matches!(b, b'\'' | b'"' | b'$' | b'-' | b'/');
    while let Some(found) = text[at..].iter().position(begins) {
        at += found;
        let rest = &text[at..];
        if let Some(length) = comment(rest) {
            let out = out.get_or_insert_with(|| Vec::with_capacity(text.len()));
            out.extend_from_slice(&text[from..at]);
            out.push(b' ');
            at += length;
            from = at;
        } else {
            at += quoted(&text[..at], rest, escapes);
        }
    }
    match out {
        None => Cow::Borrowed(text),
        Some(mut out) => {
            out.extend_from_slice(&text[from..]);
            Cow::Owned(out)
        }
    }
}

/// The literals of a text, with their quotes. Only a text without a backslash has the same ones
/// whatever the settings are.
pub(super) fn literals(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = 0;
    let begins = |b: &u8| matches!(b, b'\'' | b'"' | b'$' | b'-' | b'/');
    std::iter::from_fn(move || {
        loop {
            at += text[at..].iter().position(begins)?;
            let rest = &text[at..];
            let length = comment(rest).unwrap_or_else(|| quoted(&text[..at], rest, false));
            at += length;
            if matches!(rest[0], b'\'' | b'$') && length > 1 {
                return Some(&rest[..length]);
            }
        }
    })
}

/// Whether a text is a PREPARE and nothing else, whatever standard_conforming_strings is.
/// (pg_prepared_statements shows the whole text of the query that prepared a statement.)
pub fn is_one_prepare(text: &[u8]) -> bool {
    [false, true].into_iter().all(|escapes| {
        let plain = without_comments(text, escapes);
        let start = plain.iter().position(|b| !is_white(*b));
        let plain = &plain[start.unwrap_or(plain.len())..];
        let word = plain.get(..7);
        word.is_some_and(|word| word.eq_ignore_ascii_case(b"prepare"))
            && !plain.get(7).is_some_and(|b| is_word(*b))
            && is_one_statement(plain, escapes)
    })
}

/// Whether nothing follows the first semicolon of a text without comments.
fn is_one_statement(text: &[u8], escapes: bool) -> bool {
    let mut at = 0;
    let begins = |b: &u8| matches!(b, b'\'' | b'"' | b'$' | b';');
    while let Some(found) = text[at..].iter().position(begins) {
        at += found;
        let rest = &text[at..];
        if rest[0] == b';' {
            return rest.iter().all(|b| is_white(*b) || matches!(b, b';' | 0));
        }
        at += quoted(&text[..at], rest, escapes);
    }
    true
}

/// The length of the comment that begins here. A comment that is never closed goes on to
/// the end.
fn comment(text: &[u8]) -> Option<usize> {
    if text.starts_with(b"--") {
        return Some(memchr::memchr2(b'\n', b'\r', text).unwrap_or(text.len()));
    }
    if !text.starts_with(b"/*") {
        return None;
    }
    let (mut depth, mut at) = (1, 2);
    while depth > 0 {
        match text.get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            Some(_) => at += 1,
            None => return Some(text.len()),
        }
    }
    Some(at)
}

/// The length of the quoted text that begins here, behind `before`; 1 if none begins.
fn quoted(before: &[u8], text: &[u8], escapes: bool) -> usize {
    let in_word = |bytes: &[u8]| bytes.last().is_some_and(|b| is_word(*b));
    match text[0] {
        b'"' => memchr::memchr(b'"', &text[1..]).map_or(text.len(), |end| end + 2),
        b'\'' => {
            // E'…' has escapes whatever the setting is.
            let escapes = escapes || matches!(before, [word @ .., b'e' | b'E'] if !in_word(word));
            let mut at = 1;
            // Without escapes, a doubled quote can be read as the end of one text and the
            // beginning of the next.
            loop {
                match (text.get(at), text.get(at + 1)) {
                    (None, _) => return text.len(),
                    (Some(b'\\'), Some(_)) | (Some(b'\''), Some(b'\'')) if escapes => at += 2,
                    (Some(b'\''), _) => return at + 1,
                    _ => at += 1,
                }
            }
        }
        b'$' if !in_word(before) => {
            let word = text[1..].iter().take_while(|b| **b != b'$' && is_word(**b));
            let tag = &text[..(2 + word.count()).min(text.len())];
            if !tag.ends_with(b"$") || tag.len() < 2 || tag[1].is_ascii_digit() {
                return 1;
            }
            let end = memchr::memmem::find(&text[tag.len()..], tag);
            end.map_or(text.len(), |end| end + 2 * tag.len())
        }
        _ => 1,
    }
}

pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prepare_and_nothing_else() {
        for text in [
            "prepare p as select 42",
            " /* a; */ PREPARE p (int) AS SELECT $1; -- ;",
            "prepare \"a;b\" as select ';', $x$ ; $x$ ;;",
            "prepare p as select E'\\\\;'",
        ] {
            assert!(is_one_prepare(text.as_bytes()), "{text}");
        }
        for text in [
            "insert into log values (1); prepare p as select 42",
            "prepare p as select 42; insert into log values (1)",
            "prepared",
            "",
            // One statement or two, by standard_conforming_strings.
            r"prepare p as select '\'; insert into log values (1); --'",
        ] {
            assert!(!is_one_prepare(text.as_bytes()), "{text}");
        }
    }

    fn of(text: &str) -> String {
        String::from_utf8(without_comments(text.as_bytes(), false).into_owned()).unwrap()
    }

    #[test]
    fn a_comment_becomes_a_space() {
        for (text, left) in [
            ("/* a */set/* b /* c */ */x", " set x"),
            ("-- a\nset x -- b", " \nset x  "),
            ("set x /* open", "set x  "),
            ("set x /* a /* b */", "set x  "),
            ("a -/ b / * c - - d", "a -/ b / * c - - d"),
            ("a/", "a/"),
            ("/*", " "),
            ("/*/", " "),
        ] {
            assert_eq!(of(text), left, "{text}");
        }
    }

    #[test]
    fn what_is_quoted_is_no_comment() {
        for text in [
            "select '--'; set x",
            "select 'it''s /*', \"/*\", \"a\"\"--\"; set x",
            "select E'\\'--'; set x",
            "select $$--$$, $a$ $$ /* $b$ $a$; set x",
        ] {
            assert_eq!(of(text), text);
        }
        // Whether a quote is escaped depends on the setting.
        assert_eq!(of("select '\\'-- a"), "select '\\' ");
        let text = b"select '\\'-- a'";
        assert_eq!(&*without_comments(text, true), text);
        assert_eq!(of("select a$b$ -- $b$"), "select a$b$  ");
        assert_eq!(of("select $1 -- $1"), "select $1  ");
        assert_eq!(of("select some'--' -- a"), "select some'--'  ");
    }

    #[test]
    fn literals_are_told_from_names_and_comments() {
        let of = |text: &'static str| -> Vec<&str> {
            let found = literals(text.as_bytes());
            found.map(|l| std::str::from_utf8(l).unwrap()).collect()
        };
        let text = "select 'a', now(), \"it's\", $$b'$$, $1, /* 'c' */ 'd''e' -- 'f'";
        assert_eq!(of(text), ["'a'", "$$b'$$", "'d'", "'e'"]);
        assert_eq!(of("select 'open"), ["'open"]);
        assert_eq!(of("select 1"), [""; 0]);
    }

    #[test]
    fn what_nothing_closes_is_left() {
        for text in [
            "a 'b", "a \"b", "a $b$ c", "a E'b\\", "a E'b''", "'", "$", "$$", "\"",
        ] {
            assert_eq!(of(text), text);
        }
    }
}
