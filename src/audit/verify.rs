//! Checks that a log is as it was written: that it is what its key has signed.
//!
//! Every record says which one is before it, every checkpoint among the records signs all that
//! are before it, and the checkpoint beside the log, or one that was kept elsewhere, says how
//! many there are at least.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::checkpoint::{Checkpoint, TreeRef};
use super::files::{self, Segment, body};
use super::line::{Chain, Link, VERSION};
use super::note::PublicKey;
use super::report::{Against, Anchor, Broken, Place, Report, Source};

/// Checks the records of `source`.
///
/// # Errors
/// A file cannot be read.
pub fn verify(source: &Source, against: &Against) -> io::Result<Report> {
    let mut check = Check {
        partial: against.partial,
        ..Check::default()
    };
    // What is signed is read first: the log may grow meanwhile.
    if let Err(broken) = check.anchors(source, against)? {
        check.report.broken = Some(broken);
        return Ok(check.report);
    }
    let segments = match source {
        Source::Log(log) => {
            let segments = files::list(log)?;
            if segments.is_empty() {
                files::Lines::open(log)?; // is there a log at all?
            }
            segments
        }
        Source::Files(files) => in_order(files)?,
    };
    let checked = segments
        .iter()
        .try_for_each(|segment| check.file(segment))
        .and_then(|()| check.end());
    match checked {
        Ok(()) => {}
        Err(Fault::Io(error)) => return Err(error),
        Err(Fault::Broken(broken)) => check.report.broken = Some(broken),
    }
    Ok(check.report)
}

fn in_order(paths: &[PathBuf]) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for path in paths {
        // A file without records is checked as well: it may have something else.
        segments.push(Segment::of(path)?.unwrap_or_else(|| Segment {
            path: path.clone(),
            first: u64::MAX,
            time: String::new(),
        }));
    }
    files::sort(&mut segments);
    Ok(segments)
}

enum Fault {
    Io(io::Error),
    Broken(Broken),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A line of a file.
#[derive(Debug, Clone, Default)]
struct Spot {
    file: PathBuf,
    line: u64,
}

impl Spot {
    fn broken(&self, reason: impl Into<String>) -> Broken {
        Broken {
            file: self.file.clone(),
            line: self.line,
            reason: reason.into(),
        }
    }
}

/// Bytes that are no record, until a record reports them.
struct Torn {
    spot: Spot,
    bytes: u64,
    /// Whether they end in the middle of a line.
    unfinished: bool,
}

#[derive(Default)]
struct Check {
    report: Report,
    partial: bool,
    key: Option<PublicKey>,
    anchors: Vec<Anchor>,
    /// The size of the checkpoint that is beside the log.
    beside: Option<u64>,
    /// Whether it should be there.
    expects_beside: bool,
    /// Where the log stands after the record before.
    chain: Chain,
    begun: bool,
    /// How many records are before the first one here.
    from: u64,
    first: Spot,
    before: Spot,
    /// The size of the newest checkpoint that a record says was beside the log.
    noted: u64,
    /// The last of the records that were removed because they were old enough, and the number
    /// of the record that says so.
    removed: (u64, u64),
}

impl Check {
    /// Finds the key and the checkpoints.
    fn anchors(&mut self, source: &Source, against: &Against) -> io::Result<Result<(), Broken>> {
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
        self.report.key = self.key.as_ref().map(ToString::to_string);
        for (is_beside, (name, note)) in [(true, note), (false, against.checkpoint.clone())]
            .into_iter()
            .filter_map(|(is_beside, note)| Some((is_beside, note?)))
        {
            let opened = self.key.as_ref().map(|key| Checkpoint::open(&note, key));
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

    fn file(&mut self, segment: &Segment) -> Result<(), Fault> {
        let mut lines = segment.lines()?;
        let mut line = Vec::new();
        let mut spot = Spot {
            file: segment.path.clone(),
            line: 0,
        };
        let mut torn: Option<Torn> = None;
        let mut ended = true;
        loop {
            match lines.next(&mut line) {
                Ok(true) => {}
                Ok(false) => break,
                Err(e) if segment.is_compressed() => {
                    let reason = format!("the file cannot be decompressed: {e}");
                    return Err(Fault::Broken(spot.broken(reason)));
                }
                Err(e) => return Err(e.into()),
            }
            spot.line += 1;
            ended = line.ends_with(b"\n");
            let Some(link) = Link::read(body(&line)) else {
                let torn = torn.get_or_insert_with(|| Torn {
                    spot: spot.clone(),
                    bytes: 0,
                    unfinished: false,
                });
                torn.bytes += line.len() as u64;
                torn.unfinished = !ended;
                continue;
            };
            check_torn(torn.take(), &link, &spot).map_err(Fault::Broken)?;
            let first = self.before.file != spot.file;
            self.record(&link, body(&line), &spot, first)
                .map_err(Fault::Broken)?;
        }
        match torn {
            Some(torn) if torn.unfinished => self.report.notes.push(format!(
                "{}:{}: the file ends in the middle of a record: it is being written, or the write was broken off",
                torn.spot.file.display(),
                torn.spot.line
            )),
            Some(torn) => return Err(Fault::Broken(torn.spot.broken(NOT_A_RECORD))),
            None if !ended && self.chain.seq() <= self.promised() => {
                let reason = "the line end of this record is missing";
                return Err(Fault::Broken(spot.broken(reason)));
            }
            None => {}
        }
        Ok(())
    }

    /// How many records there are at least.
    fn promised(&self) -> u64 {
        let sizes = self.anchors.iter().map(|anchor| anchor.checkpoint.size);
        sizes.max().unwrap_or(0)
    }

    fn record(&mut self, link: &Link, line: &[u8], spot: &Spot, first: bool) -> Result<(), Broken> {
        if link.v != VERSION {
            return Err(spot.broken(format!(
                "this is a record of version {}; another version of pgvalet can check it",
                link.v
            )));
        }
        if !self.begun {
            self.begin(link, spot)?;
        } else if first && link.seq == 1 {
            self.begin_again(link, spot)?;
        }
        self.follows(link, spot)?;
        if link.event == "checkpoint" {
            let tree = link.tree.as_ref();
            let tree = tree.ok_or_else(|| spot.broken("this checkpoint says nothing"))?;
            self.checkpoint(tree, spot)?;
        }
        self.chain.push(line);
        self.meets_anchors(spot)?;
        self.note(link, spot);
        self.before = spot.clone();
        Ok(())
    }

    /// The first record: the beginning of a log, or the heading of a later file.
    fn begin(&mut self, link: &Link, spot: &Spot) -> Result<(), Broken> {
        self.begun = true;
        self.first = spot.clone();
        let tree = link.tree.as_ref();
        if self.key.is_none() {
            self.key = tree
                .and_then(|tree| tree.key.as_ref())
                .and_then(|key| PublicKey::parse(key));
            self.report.key = self.key.as_ref().map(ToString::to_string);
        }
        if link.seq > 1 {
            let tree = tree.and_then(TreeRef::tree);
            let tree = tree.filter(|tree| tree.size() + 1 == link.seq);
            let tree = tree.ok_or_else(|| {
                spot.broken(format!(
                    "{} missing before this one, and it is not the first of a file",
                    are(1, link.seq - 1)
                ))
            })?;
            self.from = tree.size();
            self.chain = Chain::new(tree, None);
        }
        self.meets_anchors(spot)
    }

    /// On standard output each start of pgvalet begins a log.
    fn begin_again(&mut self, link: &Link, spot: &Spot) -> Result<(), Broken> {
        if self.report.key_was_given || !self.anchors.is_empty() {
            return Ok(()); // does not follow
        }
        self.report.notes.push(format!(
            "{}:{}: a new log begins here; nothing connects it to the records before",
            spot.file.display(),
            spot.line
        ));
        self.chain = Chain::default();
        self.key = None;
        self.begin(link, spot)
    }

    /// Checks that a record is the next one.
    fn follows(&self, link: &Link, spot: &Spot) -> Result<(), Broken> {
        let due = self.chain.seq() + 1;
        if link.seq > due {
            let missing = are(due, link.seq - 1);
            return Err(spot.broken(format!("{missing} missing before this one")));
        }
        if link.seq < due {
            return Err(spot.broken(format!(
                "record {} stands after record {}: lines were moved or copied",
                link.seq,
                due - 1
            )));
        }
        if self.chain.last().is_some() && link.prev != self.chain.prev() {
            return Err(self.before.broken(format!(
                "record {} was changed, or the one after it",
                due - 1
            )));
        }
        Ok(())
    }

    fn checkpoint(&mut self, tree: &TreeRef, spot: &Spot) -> Result<(), Broken> {
        let key = self.key.as_ref();
        let key = key.ok_or_else(|| spot.broken("there is no public key; name it with --key"))?;
        let other = |named: &String| *named != key.to_string();
        if tree.key.as_ref().is_some_and(other) {
            return Err(spot.broken("this file was written with another key"));
        }
        if !tree.is_signed_by(key) {
            return Err(spot.broken("this checkpoint is not signed with the key"));
        }
        if !tree.is_of(self.chain.tree()) {
            return Err(spot.broken(self.not_signed("signed here")));
        }
        self.report.signed = tree.size;
        self.noted = self.noted.max(tree.noted);
        Ok(())
    }

    fn not_signed(&self, what: &str) -> String {
        let (first, last) = (self.report.signed.max(self.from) + 1, self.chain.seq());
        if first < last {
            format!(
                "records {first} to {last} are not those that were {what}: at least one was changed"
            )
        } else {
            format!("record {last} is not the one that was {what}")
        }
    }

    fn meets_anchors(&mut self, spot: &Spot) -> Result<(), Broken> {
        let now = self.chain.seq();
        for anchor in self.anchors.iter().filter(|a| a.checkpoint.size == now) {
            if anchor.checkpoint != Checkpoint::from(self.chain.tree()) {
                return Err(spot.broken(self.not_signed(&format!("signed in {}", anchor.name))));
            }
            self.report.signed = self.report.signed.max(now);
        }
        Ok(())
    }

    fn note(&mut self, link: &Link, spot: &Spot) {
        let mut say = |text: String| {
            let at = format!("{}:{}", spot.file.display(), spot.line);
            self.report.notes.push(format!("{at}: {text}"));
        };
        if link.lost > 0 {
            say(format!(
                "{} records before this one could not be written",
                link.lost
            ));
        }
        if link.torn > 0 {
            say(format!(
                "the write before this record was broken off, as the record says; {} bytes of it remain",
                link.torn
            ));
        }
        if link.event == "gap" {
            say(link.reason.clone().unwrap_or_default());
        }
        if let Some(last) = link.removed {
            self.removed = self.removed.max((last, link.seq));
        }
        let this = Place {
            seq: link.seq,
            time: link.time.clone(),
        };
        self.report.records += 1;
        self.report.first.get_or_insert(this.clone());
        self.report.last = Some(this);
    }

    /// What only the end of the log shows.
    fn end(&mut self) -> Result<(), Fault> {
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

const NOT_A_RECORD: &str =
    "this is no record, and no record after it says that a write was broken off here";

/// Checks that a record reports exactly the torn bytes before it.
fn check_torn(torn: Option<Torn>, link: &Link, spot: &Spot) -> Result<(), Broken> {
    let bytes = torn.as_ref().map_or(0, |torn| torn.bytes);
    if bytes == link.torn {
        return Ok(());
    }
    Err(match torn {
        Some(torn) => torn.spot.broken(NOT_A_RECORD),
        None => spot.broken(format!(
            "{} bytes that this record reports before it are missing",
            link.torn
        )),
    })
}

fn are(first: u64, last: u64) -> String {
    if first == last {
        format!("record {first} is")
    } else {
        format!("records {first} to {last} are")
    }
}

/// The content of a file that may be missing.
fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io::Error::new(e.kind(), format!("{}: {e}", path.display()))),
    }
}
