//! Finds where the chain of a file stands, and what a broken-off write has left.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::line::{Chain, Link};

/// The end of a file, as far as whoever continues it needs to know.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) chain: Chain,
    /// Bytes after the last line that is a record, which a broken-off write has left.
    /// They stay, and the next record says how many there are: a torn line that no
    /// record reports is a sign of tampering.
    pub(super) torn: u64,
    /// Whether the file ends in the middle of a line.
    pub(super) unfinished: bool,
}

/// The first bytes of every record.
const START: &[u8] = b"{\"v\":1,\"seq\":";

/// How many bytes of the end are searched first, doubled until a record is found.
const STEP: u64 = 64 * 1024;

/// Reads the end of a log. `None`: the file is something else, and must not be
/// appended to.
///
/// The hash of the last record is taken as it stands there, and not computed again:
/// if somebody changed that record, it has to be the line that fails to verify,
/// not the next one.
///
/// # Errors
/// The file cannot be read.
pub(super) fn read(file: &File) -> io::Result<Option<Tail>> {
    let length = file.metadata()?.len();
    let mut step = STEP;
    loop {
        let start = length.saturating_sub(step);
        let mut bytes = vec![0; usize::try_from(length - start).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, start)?;
        if let Some(tail) = scan(&bytes) {
            return Ok(Some(tail));
        }
        if start == 0 {
            return Ok(first_line(&bytes));
        }
        step = step.saturating_mul(2);
    }
}

/// Looks for the last record in `bytes`, the end of a file.
fn scan(bytes: &[u8]) -> Option<Tail> {
    let mut end = bytes.len();
    loop {
        let start = bytes[..end]
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |newline| newline + 1);
        if let Some(link) = Link::read(&bytes[start..end]) {
            let after = &bytes[end..];
            // Nothing is torn where only the line end of the record is missing.
            let after = after.strip_prefix(b"\n").unwrap_or(after);
            return Some(Tail {
                chain: link.chain(),
                torn: after.len() as u64,
                unfinished: bytes.last() != Some(&b'\n'),
            });
        }
        end = start.checked_sub(1)?;
    }
}

/// The end of a file without any record, which is an audit log if it is empty, or
/// if its first write was broken off.
fn first_line(bytes: &[u8]) -> Option<Tail> {
    let ours = bytes.len().min(START.len());
    (bytes[..ours] == START[..ours]).then(|| Tail {
        chain: Chain::new(),
        torn: bytes.len() as u64,
        unfinished: bytes.last().is_some_and(|b| *b != b'\n'),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use chrono::DateTime;

    use super::*;
    use crate::audit::Record;
    use crate::audit::line::{Notes, append};

    fn log(records: usize) -> (Vec<u8>, Chain) {
        let (mut out, mut chain) = (Vec::new(), Chain::new());
        for _ in 0..records {
            let record = Record::reload();
            let notes = Notes::default();
            append(
                &mut out,
                &mut chain,
                "h:1",
                DateTime::UNIX_EPOCH,
                notes,
                &record,
            )
            .expect("serialises");
        }
        (out, chain)
    }

    fn tail(bytes: &[u8]) -> Option<Tail> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        read(&file).expect("read")
    }

    #[test]
    fn an_empty_file_starts_a_chain() {
        let chain = Chain::new();
        let expected = Tail {
            chain,
            torn: 0,
            unfinished: false,
        };
        assert_eq!(tail(b""), Some(expected));
    }

    #[test]
    fn a_whole_log_is_continued() {
        let (bytes, chain) = log(3);
        let expected = Tail {
            chain,
            torn: 0,
            unfinished: false,
        };
        assert_eq!(tail(&bytes), Some(expected));
    }

    #[test]
    fn a_log_larger_than_one_step_is_continued() {
        let (mut bytes, chain) = log(2);
        let torn = 3 * usize::try_from(STEP).expect("fits");
        bytes.extend(std::iter::repeat_n(b'x', torn));
        let expected = Tail {
            chain,
            torn: torn as u64,
            unfinished: true,
        };
        assert_eq!(tail(&bytes), Some(expected));
    }

    #[test]
    fn wherever_a_write_breaks_off_the_chain_stands_at_the_last_whole_record() {
        let (one, at_one) = log(1);
        let (two, at_two) = log(2);
        for cut in one.len()..=two.len() {
            let tail = tail(&two[..cut]).expect("a log");
            let whole = cut + 1 >= two.len();
            assert_eq!(
                tail.chain,
                if whole {
                    at_two.clone()
                } else {
                    at_one.clone()
                }
            );
            assert_eq!(tail.torn, if whole { 0 } else { (cut - one.len()) as u64 });
            assert_eq!(tail.unfinished, cut != one.len() && cut != two.len());
        }
        for cut in 1..one.len() - 1 {
            let tail = tail(&one[..cut]).expect("the start of a log");
            assert_eq!((tail.chain, tail.torn), (Chain::new(), cut as u64));
        }
    }

    #[test]
    fn another_file_is_left_alone() {
        assert_eq!(tail(b"root:x:0:0::/root:/bin/sh\n"), None);
        assert_eq!(tail(b"{\"a\":1}\n"), None);
        assert_eq!(tail(b"\n"), None);
    }
}
