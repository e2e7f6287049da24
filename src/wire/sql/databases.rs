//! Statements for which nobody else may be connected to a database: it is dropped, renamed,
//! moved, or copied.

use super::comments::{is_white, is_word, without_comments};

/// The longest statement of these kinds; nothing is read of a longer text.
pub const MAX_TEXT: usize = 4096;

/// What a text needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vacancy {
    /// The text demands nothing of the kind.
    Nothing,
    /// The rest of the text has to be here before that is known.
    Unknown,
    /// The text demands that nobody else is connected to this database.
    Of(Box<str>),
}

/// What a text needs, of which at least the beginning is here; `whole`: all of it is.
pub fn vacancy(text: &[u8], whole: bool) -> Vacancy {
    let white = text.iter().take_while(|b| is_white(**b)).count();
    let start = &text[white..];
    let begins = |word: &str| {
        let seen = start.len().min(word.len());
        start[..seen].eq_ignore_ascii_case(&word.as_bytes()[..seen])
    };
    let candidate = match start.first() {
        None => true,
        Some(b'c' | b'C') => begins("create"),
        Some(b'd' | b'D') => begins("drop"),
        Some(b'a' | b'A') => begins("alter"),
        Some(b'-' | b'/') => true,
        Some(_) => false,
    };
    match (candidate, whole) {
        (false, _) => Vacancy::Nothing,
        (true, false) => Vacancy::Unknown,
        (true, true) => {
            let plain = without_comments(start, false);
            let mut tokens = Tokens(&plain);
            database(&mut tokens).map_or(Vacancy::Nothing, |name| Vacancy::Of(name.into()))
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    /// A keyword, a number, or a name, folded.
    Word(String),
    /// A name in quotes.
    Name(String),
    /// A text in quotes.
    Text(String),
    Sign(u8),
}

impl Token {
    fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word == keyword)
    }

    fn name(self) -> Option<String> {
        match self {
            Self::Word(name) | Self::Name(name) => Some(name),
            Self::Text(_) | Self::Sign(_) => None,
        }
    }
}

/// The tokens of a text without comments, as far as they are understood.
struct Tokens<'t>(&'t [u8]);

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let white = self.0.iter().take_while(|b| is_white(**b)).count();
        let text = &self.0[white..];
        let (token, length) = match *text.first()? {
            0 | b';' => return None, // nothing behind it can run in the same query
            quote @ (b'"' | b'\'') => {
                let (inside, length) = quoted(text, quote)?;
                match quote {
                    b'"' => (Token::Name(inside), length),
                    _ => (Token::Text(inside), length),
                }
            }
            first if is_word(first) => {
                let length = text.iter().take_while(|b| is_word(**b)).count();
                // U&"…" and E'…' have escapes, which are not read.
                if matches!(text.get(length), Some(b'&' | b'\'')) {
                    return None;
                }
                let word = std::str::from_utf8(&text[..length]).ok()?;
                (Token::Word(word.to_ascii_lowercase()), length)
            }
            sign => (Token::Sign(sign), 1),
        };
        self.0 = &text[length..];
        Some(token)
    }
}

/// What stands between quotes, in which a doubled quote is one.
fn quoted(text: &[u8], quote: u8) -> Option<(String, usize)> {
    let (mut inside, mut at) = (Vec::new(), 1);
    loop {
        let byte = *text.get(at)?;
        at += 1;
        if byte == quote {
            if text.get(at) != Some(&quote) {
                break;
            }
            at += 1;
        }
        inside.push(byte);
    }
    Some((String::from_utf8(inside).ok()?, at))
}

/// The database to which nobody else may be connected.
fn database(tokens: &mut Tokens<'_>) -> Option<String> {
    let verb = tokens.next()?;
    if !tokens.next()?.is("database") {
        return None;
    }
    let name = tokens.next()?;
    if verb.is("drop") {
        if !name.is("if") {
            return name.name();
        }
        return match tokens.next() {
            Some(exists) if exists.is("exists") => tokens.next()?.name(),
            _ => name.name(),
        };
    }
    if verb.is("alter") {
        let change = tokens.next()?;
        let moves = change.is("set") && tokens.next()?.is("tablespace");
        return (change.is("rename") || moves).then(|| name.name())?;
    }
    if verb.is("create") {
        return template(tokens);
    }
    None
}

/// The database that CREATE DATABASE copies.
fn template(tokens: &mut Tokens<'_>) -> Option<String> {
    const DEFAULT: &str = "template1";
    while let Some(token) = tokens.next() {
        if !token.is("template") {
            continue;
        }
        let value = match tokens.next()? {
            Token::Sign(b'=') => tokens.next()?,
            value => value,
        };
        return match value {
            value if value.is("default") => Some(DEFAULT.to_owned()),
            Token::Text(name) => Some(name),
            value => value.name(),
        };
    }
    Some(DEFAULT.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str) -> Option<String> {
        match vacancy(text.as_bytes(), true) {
            Vacancy::Of(name) => Some(name.into()),
            Vacancy::Nothing => None,
            Vacancy::Unknown => panic!("{text:?} is whole"),
        }
    }

    #[test]
    fn what_nobody_else_may_be_connected_to() {
        for (text, name) in [
            ("DROP DATABASE x", "x"),
            (
                "drop database if exists \"Test \"\"1\"\"\";\0",
                "Test \"1\"",
            ),
            ("drop /* it */ database X with (force)", "x"),
            ("-- away\n drop database größe (force)", "größe"),
            ("drop database if", "if"),
            ("ALTER DATABASE \"a;b\" RENAME TO c", "a;b"),
            ("alter database a set tablespace t", "a"),
            ("create database a template b", "b"),
            (
                "create database a with owner = c template = 'B' encoding 'UTF8'",
                "B",
            ),
            ("create database a", "template1"),
            ("create database a template default", "template1"),
        ] {
            assert_eq!(of(text).as_deref(), Some(name), "{text}");
        }
    }

    #[test]
    fn everything_else_needs_nothing() {
        for text in [
            "",
            "select 1",
            "drop table x",
            "drop",
            "drop database",
            "drop database U&\"a\"",
            "drop database \"a",
            "alter database x set work_mem = '1MB'",
            "alter database x owner to y",
            "create table database (template int)",
            "call x()",
            "dropdatabase x",
            "/* drop database x",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn of_a_part_of_a_text_that_may_be_unknown() {
        for text in [
            "",
            " ",
            "d",
            "drop",
            "drop database x",
            "ALTER",
            "/* a",
            "-",
        ] {
            assert_eq!(vacancy(text.as_bytes(), false), Vacancy::Unknown, "{text}");
        }
        for text in ["delete", "select", "commit", "1"] {
            assert_eq!(vacancy(text.as_bytes(), false), Vacancy::Nothing, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(drop|create|alter) database [ -~]{0,40}") {
            vacancy(text.as_bytes(), true);
        }
    }
}
