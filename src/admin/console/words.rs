//! The text of a query as the console reads it: statements, each of a few words.

/// One word of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// As it is written, without quotes.
    Plain(String),
    /// A name in double quotes.
    Name(String),
    /// A text in single quotes.
    Text(String),
    Sign(char),
}

impl Word {
    /// Whether it is this word, in any case.
    pub fn is(&self, word: &str) -> bool {
        matches!(self, Self::Plain(own) if own.eq_ignore_ascii_case(word))
    }

    pub fn is_sign(&self, sign: char) -> bool {
        *self == Self::Sign(sign)
    }

    /// What it names, with or without quotes.
    pub fn value(&self) -> Option<&str> {
        match self {
            Self::Plain(text) | Self::Name(text) | Self::Text(text) => Some(text),
            Self::Sign(_) => None,
        }
    }
}

/// A statement without its semicolon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub words: Vec<Word>,
    /// As it was written, to be shown in errors.
    pub written: String,
}

/// The text ends inside of a quotation or a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unterminated;

/// Splits a text into statements; empty ones are left out.
///
/// # Errors
/// [`Unterminated`].
pub fn statements(text: &str) -> Result<Vec<Statement>, Unterminated> {
    let (mut all, mut words, mut begin) = (Vec::new(), Vec::new(), 0);
    let mut rest = text;
    let at = |rest: &str| text.len() - rest.len();
    loop {
        rest = skip(rest)?;
        let end = rest.is_empty() || rest.starts_with(';');
        if end {
            let written = text[begin..at(rest)].trim().to_owned();
            if !words.is_empty() {
                let words = std::mem::take(&mut words);
                all.push(Statement { words, written });
            }
            if rest.is_empty() {
                return Ok(all);
            }
            rest = &rest[1..];
            begin = at(rest);
            continue;
        }
        if words.is_empty() {
            begin = at(rest); // without the comments in front of it
        }
        let (word, after) = word(rest)?;
        words.push(word);
        rest = after;
    }
}

/// Leaves out white space and comments.
fn skip(mut text: &str) -> Result<&str, Unterminated> {
    loop {
        text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\0');
        if let Some(comment) = text.strip_prefix("--") {
            text = comment.split_once('\n').map_or("", |(_, rest)| rest);
        } else if text.starts_with("/*") {
            text = after_comment(text)?;
        } else {
            return Ok(text);
        }
    }
}

/// What stands behind a comment, which may hold others.
fn after_comment(text: &str) -> Result<&str, Unterminated> {
    let (mut depth, mut rest) = (0_u32, text);
    loop {
        if let Some(inside) = rest.strip_prefix("/*") {
            (depth, rest) = (depth + 1, inside);
        } else if let Some(outside) = rest.strip_prefix("*/") {
            (depth, rest) = (depth - 1, outside);
            if depth == 0 {
                return Ok(rest);
            }
        } else {
            let mut chars = rest.chars();
            chars.next().ok_or(Unterminated)?;
            rest = chars.as_str();
        }
    }
}

fn word(text: &str) -> Result<(Word, &str), Unterminated> {
    let mut chars = text.chars();
    let first = chars.next().ok_or(Unterminated)?;
    let quoted = |rest| {
        let (inside, rest) = quotation(rest, first)?;
        Ok::<_, Unterminated>((inside, rest))
    };
    Ok(match first {
        '\'' => {
            let (inside, rest) = quoted(chars.as_str())?;
            (Word::Text(inside), rest)
        }
        '"' => {
            let (inside, rest) = quoted(chars.as_str())?;
            (Word::Name(inside), rest)
        }
        _ if is_plain(first) => {
            let end = end_of_plain(text);
            (Word::Plain(text[..end].to_owned()), &text[end..])
        }
        sign => (Word::Sign(sign), chars.as_str()),
    })
}

/// Names of databases and secrets need no quotes, whatever is in them.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || "_$.-/!@:+".contains(c)
}

/// Where a word ends: a comment may follow it at once.
fn end_of_plain(text: &str) -> usize {
    let mut end = text.find(|c| !is_plain(c)).unwrap_or(text.len());
    for comment in ["--", "/*"] {
        let at = text.find(comment).unwrap_or(end);
        end = end.min(at.max(1));
    }
    end
}

/// A quotation up to its end, where a quote that is doubled stands for itself.
fn quotation(text: &str, quote: char) -> Result<(String, &str), Unterminated> {
    let mut inside = String::new();
    let mut chars = text.chars();
    loop {
        let c = chars.next().ok_or(Unterminated)?;
        if c != quote {
            inside.push(c);
        } else if let Some(rest) = chars.as_str().strip_prefix(quote) {
            inside.push(quote);
            chars = rest.chars();
        } else {
            return Ok((inside, chars.as_str()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(text: &str) -> Vec<Vec<String>> {
        let statements = statements(text).expect("statements");
        let words = |s: Statement| s.words.iter().map(|w| format!("{w:?}")).collect();
        statements.into_iter().map(words).collect()
    }

    #[test]
    fn statements_and_their_words() {
        assert_eq!(
            plain("show pools; PAUSE \"a\"\"b\" ;;"),
            [
                vec![r#"Plain("show")"#, r#"Plain("pools")"#],
                vec![r#"Plain("PAUSE")"#, r#"Name("a\"b")"#],
            ]
        );
        assert_eq!(
            plain("SET x='it''s'--c\n;/* a /* b */ */ROTATE prod/orders-1/*c*/"),
            [
                vec![
                    r#"Plain("SET")"#,
                    r#"Plain("x")"#,
                    "Sign('=')",
                    r#"Text("it's")"#
                ],
                vec![r#"Plain("ROTATE")"#, r#"Plain("prod/orders-1")"#],
            ]
        );
        for empty in ["", " ; \n;", "-- nothing", "/* nothing */"] {
            assert!(plain(empty).is_empty(), "{empty:?}");
        }
        for open in ["'a", "\"a", "/* a", "show 'a''"] {
            assert_eq!(statements(open), Err(Unterminated), "{open:?}");
        }
    }

    #[test]
    fn a_statement_is_shown_as_it_was_written() {
        let all = statements("/* c */ Show  Nothing ; select 1").expect("statements");
        assert_eq!(all[0].written, "Show  Nothing");
        assert_eq!(all[1].written, "select 1");
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[-/*'\"; a-zA-Zäß.$\\n]{0,40}") {
            let _ = statements(&text);
        }
    }
}
