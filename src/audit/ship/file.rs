//! Files, pipes and standard output.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::target::{Message, Target, failed, lines};
use crate::audit::stdout::Stdout;

/// A file that is appended to. It is opened for each batch, so that others may rotate it.
pub struct File(PathBuf);

impl File {
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

impl Target for File {
    fn send(&mut self, messages: &[Message]) -> Result<(), String> {
        let wrong = |error| failed(&self.0, &error);
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.0)
            .map_err(wrong)?;
        let regular = file.metadata().map_err(wrong)?.is_file();
        let before = if regular {
            file.seek(SeekFrom::End(0)).map_err(wrong)?
        } else {
            0
        };
        let written = file.write_all(&lines(messages));
        if let (Err(_), true) = (&written, regular) {
            // What is there of a batch that did not fit would be there twice.
            let _ = file.set_len(before);
        }
        written.map_err(wrong)?;
        if regular {
            file.sync_data().map_err(wrong)?;
        }
        Ok(())
    }
}

/// Standard output.
#[derive(Default)]
pub struct Standard {
    out: Stdout,
    /// The rest of a batch of which some has gone out, and its last record.
    rest: Option<(u64, Vec<u8>)>,
}

impl Target for Standard {
    fn send(&mut self, messages: &[Message]) -> Result<(), String> {
        let last = messages.last().map_or(0, |m| m.seq);
        // A line that has gone out in part is ended first.
        let (before, mut bytes) = self.rest.take().unwrap_or_default();
        let new = messages.iter().position(|m| m.seq > before);
        bytes.extend(lines(&messages[new.unwrap_or(messages.len())..]));
        self.out.write(&bytes).map_err(|error| {
            let written = usize::try_from(self.out.written).unwrap_or(usize::MAX);
            let rest = bytes.get(written..).unwrap_or_default().to_vec();
            self.rest = Some((last, rest));
            format!("standard output: {error}")
        })
    }
}
