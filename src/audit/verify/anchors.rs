//! The checkpoints that are not among the records: the one beside the log, and one that was kept
//! elsewhere.

use std::fs;
use std::io;
use std::path::Path;

use super::Check;
use super::fault::{Fault, Spot, are};
use crate::audit::checkpoint::Checkpoint;
use crate::audit::files;
use crate::audit::line::Link;
use crate::audit::note::PublicKey;
use crate::audit::report::{Against, Anchor, Broken, Source};

impl Check {
    /// Finds the key and the checkpoints.
    pub(super) fn anchors(
        &mut self,
        source: &Source,
        against: &Against,
    ) -> io::Result<Result<(), Broken>> {
        let log = match source {
            Source::Log(log) => Some(log.clone()),
            Source::Files(files) => files
                .iter()
                .find(|f| files::checkpoint(f).exists())
                .cloned(),
        };
        self.expects_beside = matches!(source, Source::Log(_));
        self.report.key_was_given = against.key.is_some();
        self.key = against.key.clone();
        let note = match &log {
            Some(log) => {
                if self.key.is_none() {
                    let text = read(&files::public_key(log))?;
                    self.key = text.and_then(|text| PublicKey::parse(&text));
                }
                let path = files::checkpoint(log);
                read(&path)?.map(|note| (path.display().to_string(), note))
            }
            None => None,
        };
        let edge = log
            .as_ref()
            .map(|log| read(&files::edge(log)))
            .transpose()?;
        let size = edge
            .flatten()
            .and_then(|text| text.lines().next()?.parse().ok());
        self.edge = size.unwrap_or(0);
        self.report.key = self.key.as_ref().map(ToString::to_string);
        for (is_beside, (name, note)) in [(true, note), (false, against.checkpoint.clone())]
            .into_iter()
            .filter_map(|(is_beside, note)| Some((is_beside, note?)))
        {
            let opened = self.key.as_ref().map(|key| open(&note, key));
            let Some(Some(checkpoint)) = opened else {
                let reason = match self.key {
                    Some(_) => "this is no checkpoint that the key has signed",
                    None => "there is no public key to check this with; name it with --key",
                };
                let file = name.into();
                let reason = reason.to_owned();
                let line = 0;
                return Ok(Err(Broken { file, line, reason }));
            };
            if is_beside {
                self.beside = Some(checkpoint.size);
            }
            self.anchors.push(Anchor { name, checkpoint });
        }
        Ok(Ok(()))
    }

    pub(super) fn meets_anchors(&mut self, spot: &Spot) -> Result<(), Broken> {
        let now = self.chain.seq();
        for anchor in self.anchors.iter().filter(|a| a.checkpoint.size == now) {
            if anchor.checkpoint != Checkpoint::from(self.chain.tree()) {
                return Err(spot.broken(self.not_signed(&format!("signed in {}", anchor.name))));
            }
            self.report.signed = self.report.signed.max(now);
        }
        Ok(())
    }

    /// What only the end of the log shows.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        let last = self.chain.seq();
        for anchor in &self.anchors {
            let size = anchor.checkpoint.size;
            let name = &anchor.name;
            if size > last {
                let missing = are(last + 1, size);
                let reason = format!("{missing} missing after this one: {name} has {size} records");
                return Err(Fault::Broken(self.before.broken(reason)));
            }
            if size < self.from {
                self.report.notes.push(format!(
                    "{name} is older than the first record here, and was not compared"
                ));
            }
        }
        if self
            .beside
            .map_or(self.expects_beside, |size| size < self.noted)
            && self.noted > 0
        {
            return Err(Fault::Broken(self.before.broken(format!(
                "the checkpoint beside the log is missing or an older one: there was one of {} records",
                self.noted
            ))));
        }
        // Nothing signs this size, but whoever takes the checkpoint away to cut the end of the
        // log has to know of it too.
        if self.expects_beside && self.anchors.is_empty() && self.edge > last {
            let missing = are(last + 1, self.edge);
            return Err(Fault::Broken(self.before.broken(format!(
                "{missing} missing after this one, and the checkpoint beside the log is missing, too; \
                 one that was kept elsewhere is named with --checkpoint"
            ))));
        }
        // The last checkpoint of a log that was closed signs the record that says so.
        if self.closed && self.beside.is_some_and(|size| size < last) {
            let after = are(self.beside.unwrap_or(0) + 1, last);
            return Err(Fault::Broken(self.before.broken(format!(
                "the log was closed here, but {after} not signed by the checkpoint beside it: that is an older one, or the process was killed while it closed the log"
            ))));
        }
        let (removed, by) = self.removed;
        let excused = by <= self.report.signed && removed >= self.from;
        if self.from > 0 && !excused && !self.partial {
            return Err(Fault::Broken(self.first.broken(format!(
                "{} missing before this one; if they are elsewhere, and only these are to be checked, add --partial",
                are(1, self.from)
            ))));
        }
        Ok(())
    }
}

/// Reads a note, or the last of the checkpoint records that a sink has got.
fn open(note: &str, key: &PublicKey) -> Option<Checkpoint> {
    let of_record = |line: &str| {
        let link = Link::read(line.as_bytes())?;
        link.tree?.checkpoint(key)
    };
    Checkpoint::open(note, key).or_else(|| note.lines().rev().find_map(of_record))
}

/// The content of a file that may be missing.
fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io::Error::new(e.kind(), format!("{}: {e}", path.display()))),
    }
}
