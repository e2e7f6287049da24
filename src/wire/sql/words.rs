//! The words of a short statement, as Postgres' lexer reads them (scan.l): which
//! settings it resets, and which prepared statement it deallocates. It is no SQL parser, for
//! the reasons in [`suspicion`](super::suspicion).

use super::comments::{is_white, is_word};

/// The most words of a statement that is understood here.
const MAX_WORDS: usize = 12;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    /// A keyword or a name, folded.
    Plain(Vec<u8>),
    /// A name in quotes.
    Quoted(Vec<u8>),
    Sign(u8),
}

impl Word {
    fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Plain(word) if word == keyword.as_bytes())
    }

    fn name(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(name) | Self::Quoted(name) => Some(name),
            Self::Sign(_) => None,
        }
    }
}

/// The words of a statement; `None` if there is anything else, or too much.
fn words(text: &[u8]) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        if first == 0 {
            break; // the end of the text in a message
        }
        if is_white(first) {
            rest = after;
            continue;
        }
        if words.len() == MAX_WORDS {
            return None;
        }
        let (word, length) = match first {
            b'"' => quoted(rest)?,
            b';' | b'=' | b'.' => (Word::Sign(first), 1),
            _ if is_word(first) && !first.is_ascii_digit() && first != b'$' => {
                let length = rest.iter().take_while(|b| is_word(**b)).count();
                // U&"…", a name with escapes, is not understood.
                if rest.get(length) == Some(&b'&') {
                    return None;
                }
                (Word::Plain(rest[..length].to_ascii_lowercase()), length)
            }
            _ => return None,
        };
        words.push(word);
        rest = &rest[length..];
    }
    Some(words)
}

fn quoted(text: &[u8]) -> Option<(Word, usize)> {
    let (mut name, mut at) = (Vec::new(), 1);
    loop {
        match (text.get(at)?, text.get(at + 1)) {
            (b'"', Some(b'"')) => at += 1,
            (b'"', _) => break,
            (0, _) => return None,
            _ => {}
        }
        name.push(text[at]);
        at += 1;
    }
    (!name.is_empty()).then_some((Word::Quoted(name), at + 1))
}

/// Settings to which a text gives back the value with which the session began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resets {
    /// `RESET name`, `SET name TO DEFAULT`.
    One {
        name: Box<str>,
        /// The value holds only to the end of the transaction.
        local: bool,
    },
    /// `RESET ALL`, `DISCARD ALL`.
    All,
    /// The text resets settings that only the server knows.
    Some,
}

impl Resets {
    /// What two statements reset, one after the other.
    pub fn and(first: Option<Self>, then: Self) -> Self {
        match first {
            None => then,
            Some(first) if first == then => first,
            Some(_) => Self::Some,
        }
    }
}

/// What a text without comments resets.
pub(super) fn resets(text: &[u8]) -> Option<Resets> {
    let mut found = None;
    let mut count = 0;
    // A semicolon in quotes makes more statements of the text than there are. At worst
    // that is a false alarm.
    for statement in text.split(|b| matches!(b, b';' | 0)) {
        if statement.iter().all(|b| is_white(*b)) {
            continue;
        }
        count += 1;
        if let Some(resets) = reset(statement) {
            found = Some(Resets::and(found, resets));
        }
    }
    // Other statements of the text may change the same settings.
    if count > 1 {
        found = found.map(|_| Resets::Some);
    }
    found
}

fn reset(statement: &[u8]) -> Option<Resets> {
    let one = |name, local| Resets::One { name, local };
    let words = words(statement)?;
    let (verb, mut rest) = words.split_first()?;
    if verb.is("discard") {
        return matches!(rest, [all] if all.is("all")).then_some(Resets::All);
    }
    if verb.is("reset") {
        return match rest {
            [all] if all.is("all") => Some(Resets::All),
            [time, zone] if time.is("time") && zone.is("zone") => {
                Some(one(TIME_ZONE.into(), false))
            }
            _ => Some(one(name(rest)?, false)),
        };
    }
    if !verb.is("set") {
        return None;
    }
    let mut local = false;
    if let [scope, after @ ..] = rest
        && (scope.is("local") || scope.is("session"))
        && !matches!(after.first(), None | Some(Word::Sign(_)))
        && !after.first().is_some_and(|word| word.is("to"))
    {
        (local, rest) = (scope.is("local"), after);
    }
    match rest {
        [names] if names.is("names") => Some(one(ENCODING.into(), local)),
        [names, to] if names.is("names") && to.is("default") => Some(one(ENCODING.into(), local)),
        [time, zone, to] if time.is("time") && zone.is("zone") => {
            let default = to.is("default") || to.is("local");
            default.then(|| one(TIME_ZONE.into(), local))
        }
        [of @ .., to, value] if value.is("default") && (to.is("to") || *to == Word::Sign(b'=')) => {
            Some(one(name(of)?, local))
        }
        _ => None,
    }
}

const TIME_ZONE: &str = "timezone";
const ENCODING: &str = "client_encoding";

/// A setting's name as Postgres compares it.
fn name(words: &[Word]) -> Option<Box<str>> {
    let mut name = Vec::new();
    for (at, word) in words.iter().enumerate() {
        match (at % 2, word) {
            (0, word) => name.extend_from_slice(word.name()?),
            (_, Word::Sign(b'.')) => name.push(b'.'),
            _ => return None,
        }
    }
    // There is a name, and the last word is part of it.
    if words.len().is_multiple_of(2) {
        return None;
    }
    Some(String::from_utf8(name).ok()?.to_ascii_lowercase().into())
}

/// The prepared statement that a text without comments deallocates, if it does nothing
/// else.
pub(super) fn deallocates(text: &[u8]) -> Option<Box<[u8]>> {
    let mut words = words(text)?;
    while words.last() == Some(&Word::Sign(b';')) {
        words.pop();
    }
    let (verb, rest) = words.split_first()?;
    if !verb.is("deallocate") {
        return None;
    }
    let name = match rest {
        [name] => name,
        [prepare, name] if prepare.is("prepare") => name,
        _ => return None,
    };
    if name.is("all") {
        return None;
    }
    name.name().map(Into::into)
}

#[cfg(test)]
mod tests;
