//! How a password becomes what SCRAM computes with: SASLprep (RFC 4013), as Postgres
//! does it.
//!
//! Postgres looks for characters that are prohibited or not assigned, and at the
//! direction of writing, *before* normalization, where the RFC says after it. And a
//! password that SASLprep refuses, or of which nothing is left, is used as it is. Both
//! have to be the same here, or passwords that work with libpq would not work with
//! pgvalet.

use stringprep::tables;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// The password as Postgres hashes it.
pub(super) fn prepare(password: &str) -> Zeroizing<String> {
    let prepared = match password.is_ascii() {
        true => None,
        false => saslprep(password),
    };
    prepared.unwrap_or_else(|| Zeroizing::new(password.to_owned()))
}

/// `None`: SASLprep refuses the password, or leaves nothing of it.
fn saslprep(password: &str) -> Option<Zeroizing<String>> {
    let mapped = Zeroizing::new(password.chars().filter_map(map).collect::<String>());
    let (first, last) = (mapped.chars().next()?, mapped.chars().next_back()?);
    if mapped.chars().any(is_prohibited) {
        return None;
    }
    if mapped.chars().any(is_right_to_left) {
        let ends = is_right_to_left(first) && is_right_to_left(last);
        if !ends || mapped.chars().any(is_left_to_right) {
            return None;
        }
    }
    Some(Zeroizing::new(mapped.nfkc().collect()))
}

/// Spaces become a space, and some characters nothing. U+200B is both: a space first.
fn map(c: char) -> Option<char> {
    match c {
        _ if tables::non_ascii_space_character(c) => Some(' '),
        _ if tables::commonly_mapped_to_nothing(c) => None,
        _ => Some(c),
    }
}

fn is_prohibited(c: char) -> bool {
    tables::ascii_control_character(c)
        || tables::non_ascii_control_character(c)
        || tables::private_use(c)
        || tables::non_character_code_point(c)
        || tables::inappropriate_for_plain_text(c)
        || tables::inappropriate_for_canonical_representation(c)
        || tables::change_display_properties_or_deprecated(c)
        || tables::tagging_character(c)
        || tables::unassigned_code_point(c)
}

/// RFC 3454, D.1: in Unicode 3.2, which is older than the tables of the library.
fn is_right_to_left(c: char) -> bool {
    match c {
        '\u{6DD}' => true,
        '\u{70F}' => false,
        _ => tables::bidi_r_or_al(c),
    }
}

/// RFC 3454, D.2, in Unicode 3.2 too.
fn is_left_to_right(c: char) -> bool {
    match c {
        '\u{17B4}' | '\u{17B5}' | '\u{1885}' | '\u{1886}' => true,
        '\u{1D6DB}' | '\u{1D715}' | '\u{1D74F}' | '\u{1D789}' | '\u{1D7C3}' => true,
        '\u{CBF}' | '\u{CC6}' | '\u{1734}' | '\u{2132}' | '\u{302E}' | '\u{302F}' => false,
        '\u{2800}'..='\u{28FF}' => false,
        _ => tables::bidi_l(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What psql logs in with, and what a strict reading of the RFC would make of it.
    #[test]
    fn passwords_are_prepared_as_postgres_does() {
        for (password, expected) in [
            ("plain", "plain"),
            ("tab\tand\x7f", "tab\tand\x7f"),
            ("a\u{A0}b\u{3000}c\u{200B}", "a b c "),
            ("so\u{AD}ft", "soft"),
            ("\u{FB01}n \u{2168} e\u{301}", "fin IX \u{E9}"),
            // Nothing is left.
            ("\u{AD}", "\u{AD}"),
            ("\u{FEFF}\u{200D}", "\u{FEFF}\u{200D}"),
            // Prohibited, or not assigned in Unicode 3.2: nothing is mapped either.
            ("\u{FB01}\u{E000}", "\u{FB01}\u{E000}"),
            ("a\u{A0}\u{1F600}", "a\u{A0}\u{1F600}"),
            ("\u{FB01}\u{7}", "\u{FB01}\u{7}"),
            // U+0340 is prohibited, though normalization would replace it.
            ("a\u{340}", "a\u{340}"),
            // Right to left, alone and mixed.
            ("\u{5D0}\u{A0}\u{5D1}", "\u{5D0} \u{5D1}"),
            ("\u{5D0}\u{A0}1", "\u{5D0}\u{A0}1"),
            ("\u{5D0}\u{A0}a\u{5D1}", "\u{5D0}\u{A0}a\u{5D1}"),
        ] {
            assert_eq!(*prepare(password), expected, "{password:?}");
        }
    }
}
