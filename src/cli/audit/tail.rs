//! `pgvalet audit tail`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::rows::Rows;
use super::{Failure, open, show};
use crate::audit::is_of_the_log;

/// How often `tail --follow` looks for more.
const POLL: Duration = Duration::from_millis(200);

#[derive(clap::Args)]
pub(in crate::cli) struct Tail {
    /// The file to read [default: that of the configuration]
    pub(super) file: Option<PathBuf>,
    /// Number of records
    #[arg(short = 'n', long, default_value_t = 10)]
    lines: usize,
    /// Go on showing new records, also when the log is rotated
    #[arg(short, long)]
    follow: bool,
    /// Print the lines as they were written
    #[arg(long)]
    json: bool,
}

pub(super) fn run(t: &Tail, path: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    let rows = (!t.json).then(Rows::new);
    if let Some(rows) = &rows {
        rows.head(out)?;
    }
    let mut file = Followed::open(path)?;
    let mut last = VecDeque::new();
    while let Some(line) = file.record()? {
        last.push_back(line);
        if last.len() > t.lines {
            last.pop_front();
        }
    }
    for (line, record) in last {
        show(&line, &record, rows.as_ref(), out)?;
    }
    out.flush()?;
    match t.follow {
        true => follow(rows.as_ref(), file, path, out),
        false => Ok(()),
    }
}

/// Shows new records until the process is ended, or nobody reads any more.
fn follow(
    rows: Option<&Rows>,
    mut file: Followed,
    path: &Path,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    loop {
        // The successor is looked for before the rest is read: a proxy that writes
        // to a new file writes no more to the old one.
        let successor = file.successor(path)?;
        while let Some((line, record)) = file.record()? {
            show(&line, &record, rows, out)?;
        }
        out.flush()?;
        match successor {
            Some(next) => file = next,
            None => std::thread::sleep(POLL),
        }
    }
}

/// A file that grows, and is replaced by a new one at times.
struct Followed {
    reader: BufReader<File>,
    /// The beginning of a line whose end is not written yet.
    partial: Vec<u8>,
}

impl Followed {
    fn open(path: &Path) -> Result<Self, Failure> {
        Ok(Self {
            reader: BufReader::new(open(path)?),
            partial: Vec::new(),
        })
    }

    /// The next record that is not of the log itself, and its line.
    fn record(&mut self) -> io::Result<Option<(Vec<u8>, Value)>> {
        while let Some(line) = self.line()? {
            match serde_json::from_slice(&line) {
                Ok(record) if !is_of_the_log(&record) => return Ok(Some((line, record))),
                _ => {}
            }
        }
        Ok(None)
    }

    /// The next whole line, without its line end.
    fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.reader.read_until(b'\n', &mut self.partial)?;
        if self.partial.pop_if(|b| *b == b'\n').is_none() {
            return Ok(None);
        }
        Ok(Some(std::mem::take(&mut self.partial)))
    }

    /// The file that is at the path now, if it is another one and has been written
    /// to: the proxy leaves the old one a little later than that is renamed.
    fn successor(&self, path: &Path) -> Result<Option<Self>, Failure> {
        let here = self.reader.get_ref().metadata()?;
        let Ok(there) = std::fs::metadata(path) else {
            return Ok(None); // the old one is renamed, and the new one not made yet
        };
        let same = (here.dev(), here.ino()) == (there.dev(), there.ino());
        if same || there.len() == 0 {
            Ok(None)
        } else {
            Self::open(path).map(Some)
        }
    }
}
