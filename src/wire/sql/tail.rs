//! Scans the rest of a text that is too long to buffer, byte by byte as it passes: may
//! it make a setting that pgvalet would not notice?

use super::comments::is_white;

/// Except for its first letter, no suffix of a part of this word begins the word again;
/// so a mismatch restarts at the first letter.
const SET_CONFIG: &[u8] = b"set_config";

/// The state of the scan. It may say yes without reason (because of a literal, for
/// example), but never no without reason.
#[derive(Debug, Clone, Copy)]
pub struct Tail {
    /// Bytes to skip first.
    skip: usize,
    place: Place,
    /// How many bytes of `set_config` have matched so far.
    call: usize,
    /// How many bytes of `U&"` have matched, behind which an identifier has escapes.
    escape: usize,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// The first word of a statement is to come.
    Start,
    /// The number of bytes of this word that have matched.
    Word(&'static [u8], usize),
    Inside,
}

impl Tail {
    /// Begins a text, which follows `skip` bytes that do not belong to it.
    pub fn behind(skip: usize) -> Self {
        Self {
            skip,
            place: Place::Start,
            call: 0,
            escape: 0,
        }
    }

    /// Reads on, and says whether a statement begins in these bytes that makes a setting,
    /// or may.
    pub fn may_set(&mut self, bytes: &[u8]) -> bool {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        let mut rest = &bytes[skipped..];
        loop {
            if matches!(self.place, Place::Inside) && self.call == 0 && self.escape == 0 {
                // No other byte begins anything.
                let next = memchr::memchr3(b';', b's', b'S', rest).unwrap_or(rest.len());
                let escape = memchr::memchr2(b'u', b'U', &rest[..next]);
                rest = &rest[escape.unwrap_or(next)..];
            }
            match rest.split_off_first() {
                None => return false,
                Some(byte) if self.step(*byte) => return true,
                Some(_) => {}
            }
        }
    }

    fn step(&mut self, byte: u8) -> bool {
        let byte = byte.to_ascii_lowercase();
        self.call = if byte == SET_CONFIG[self.call] {
            self.call + 1
        } else {
            usize::from(byte == SET_CONFIG[0])
        };
        if self.call == SET_CONFIG.len() {
            self.call = 0;
            return true;
        }
        self.escape = match (self.escape, byte) {
            (1, b'&') => 2,
            (2, b'"') => return true,
            (_, b'u') => 1,
            _ => 0,
        };
        self.place = match (self.place, byte) {
            (_, b';') => Place::Start,
            (Place::Inside, _) => Place::Inside,
            (Place::Start, byte) if is_white(byte) => Place::Start,
            // Any statement may follow a comment.
            (Place::Start, b'/') => Place::Word(b"/*", 1),
            (Place::Start, b'-') => Place::Word(b"--", 1),
            (Place::Start, b's') => Place::Word(b"set", 1),
            (Place::Start, b'r') => Place::Word(b"reset", 1),
            (Place::Start, b'd') => Place::Word(b"do", 1),
            (Place::Word(word, n), byte) if byte == word[n] => {
                if n + 1 == word.len() {
                    self.place = Place::Inside;
                    return true;
                }
                Place::Word(word, n + 1)
            }
            _ => Place::Inside,
        };
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may_set(text: &str) -> bool {
        let whole = Tail::behind(0).may_set(text.as_bytes());
        let mut tail = Tail::behind(0);
        let bytes = text.as_bytes().chunks(1).map(|byte| tail.may_set(byte));
        assert_eq!(bytes.into_iter().fold(false, |seen, b| seen | b), whole);
        whole
    }

    #[test]
    fn what_may_set_something() {
        for text in [
            "set a.b = 1",
            "select 1; \u{b} SET a.b = 1",
            "select 1;;reset a.b",
            "select 1; -- a\nset a.b = 1",
            "/* a */ select 1",
            "select a, set_setset_config('a.b', 'c', false)",
            r#"select 'a', uU&"set\005fconfig"('a.b', 'c', false)"#,
            "do $$ begin set a.b = 1; end $$",
        ] {
            assert!(may_set(text), "{text}");
        }
        for text in [
            "update t set a = 1; select setting; res",
            "insert into t values ('offset; - set', 'a; b')",
            "select 1; s et; re set; select set_ config",
            "",
        ] {
            assert!(!may_set(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_text_is_passed_over() {
        let mut tail = Tail::behind(5);
        assert!(!tail.may_set(b"Q\0\0"));
        assert!(!tail.may_set(b";sse"));
        assert!(tail.may_set(b"t"));
    }
}
