//! The newest records of a log that is being written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde_json::Value;

use super::fields::is_of_the_log;

/// How many bytes of the end are read at least and at most. Most records have less than a KiB.
const LEAST: u64 = 256 * 1024;
const MOST: u64 = 4 * 1024 * 1024;

/// The newest records in the file that is written now, the newest last; at most `most`, and
/// without those in which the log tells of itself.
///
/// # Errors
/// The file cannot be read.
pub fn latest(log: &Path, most: usize) -> io::Result<Vec<Value>> {
    let bytes = end(log, (most as u64).saturating_mul(1024).clamp(LEAST, MOST))?;
    // What begins before that, and what is not yet written to its end, is no record.
    let lines = bytes.split(|b| *b == b'\n').rev();
    let records = lines.filter_map(|line| serde_json::from_slice(line).ok());
    let shown =
        records.filter(|record: &Value| record["event"].is_string() && !is_of_the_log(record));
    let mut newest: Vec<Value> = shown.take(most).collect();
    newest.reverse();
    Ok(newest)
}

/// So many bytes of the end of the file that is written now.
///
/// # Errors
/// The file cannot be read.
pub(super) fn end(log: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::open(log)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(most);
    let mut bytes = vec![0; usize::try_from(length - start).unwrap_or(0)];
    file.read_exact_at(&mut bytes, start)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_newest_whole_records_are_found() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("audit.jsonl");
        assert!(latest(&log, 3).is_err());
        let mut text = String::new();
        for seq in 0..100_000 {
            text += &format!("{{\"v\":1,\"seq\":{seq},\"event\":\"session.start\"}}\n");
        }
        text += "{\"v\":1,\"seq\":100000,\"event\":\"checkpoint\"}\n{\"v\":1,\"seq\":100001,\"ev";
        fs::write(&log, text).expect("written");
        let seqs = |most| -> Vec<u64> {
            let records = latest(&log, most).expect("read");
            let seqs = records.iter().filter_map(|r| r["seq"].as_u64());
            seqs.collect()
        };
        assert_eq!(seqs(3), [99_997, 99_998, 99_999]);
        let all = seqs(1_000_000);
        assert!(all.len() > 40_000 && all.len() < 100_000, "{}", all.len());
        assert!(all.is_sorted());
        fs::write(&log, "").expect("written");
        assert!(seqs(3).is_empty());
    }
}
