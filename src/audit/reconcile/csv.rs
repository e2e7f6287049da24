//! The fields of a csvlog: separated by commas, some in quotes, in which there may be line ends.

use std::io::{self, BufRead};

/// Reads one entry. `None`: there is none.
pub fn entry(reader: &mut impl BufRead) -> io::Result<Option<Vec<String>>> {
    let mut text = Vec::new();
    loop {
        let before = text.len();
        if reader.read_until(b'\n', &mut text)? == 0 {
            return Ok((before > 0).then(|| fields(&text)));
        }
        // A quote in a text is doubled, so that they are even where the entry ends.
        let quotes = memchr::memchr_iter(b'"', &text).count();
        if quotes.is_multiple_of(2) {
            return Ok(Some(fields(&text)));
        }
    }
}

fn fields(text: &[u8]) -> Vec<String> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let (mut fields, mut field) = (Vec::new(), Vec::new());
    let mut quoted = false;
    let mut bytes = text.iter().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if quoted && bytes.peek() == Some(&&b'"') => {
                bytes.next();
                field.push(b'"');
            }
            b'"' => quoted = !quoted,
            b',' if !quoted => fields.push(take(&mut field)),
            other => field.push(*other),
        }
    }
    fields.push(take(&mut field));
    fields
}

fn take(field: &mut Vec<u8>) -> String {
    String::from_utf8_lossy(&std::mem::take(field)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_may_have_quotes_and_line_ends() {
        let mut text = "a,\"b,\"\"c\"\"\nd\",\n1,2\n".as_bytes();
        let mut next = || entry(&mut text).expect("read");
        assert_eq!(
            next(),
            Some(vec!["a".into(), "b,\"c\"\nd".into(), String::new()])
        );
        assert_eq!(next(), Some(vec!["1".into(), "2".into()]));
        assert_eq!(next(), None);
    }
}
