//! Checks that a log is as it was written: that it is what its key has signed.
//!
//! Every record says which one is before it, every checkpoint among the records signs all that
//! are before it, and the checkpoint beside the log, or one that was kept elsewhere, says how
//! many there are at least.

mod anchors;
mod fault;
mod files;
mod look;

use std::io;
use std::path::PathBuf;

use super::checkpoint::TreeRef;
use super::files::Segment;
use super::line::{Chain, Link, VERSION};
use super::note::PublicKey;
use super::report::{Against, Anchor, Broken, Place, Report, Source};
use super::tree::Hash;
use fault::{Fault, Spot, are};
use look::{Numbered, Record};

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
            let segments = super::files::list(log)?;
            if segments.is_empty() {
                super::files::Lines::open(log)?; // is there a log at all?
            }
            segments
        }
        Source::Files(files) => in_order(files)?,
    };
    let checked = check.files(&segments).and_then(|()| check.end());
    check.report.last = check.last.take().map(Place::from);
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
    super::files::sort(&mut segments);
    Ok(segments)
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
    /// How many records the log had when its tree was kept last, as a file beside it says.
    edge: u64,
    /// Where the log stands after the record before.
    chain: Chain,
    begun: bool,
    /// How many records are before the first one here.
    from: u64,
    first: Spot,
    before: Spot,
    /// The last record that was counted.
    last: Option<Numbered>,
    /// Whether the last record closed the log.
    closed: bool,
    /// The size of the newest checkpoint that a record says was beside the log.
    noted: u64,
    /// The last of the records that were removed because they were old enough, and the number
    /// of the record that says so.
    removed: (u64, u64),
}

impl Check {
    fn record(
        &mut self,
        record: &Record,
        leaf: Hash,
        spot: &Spot,
        first: bool,
    ) -> Result<(), Broken> {
        let link = record.link();
        if let Some(link) = link
            && link.v != VERSION
        {
            return Err(spot.broken(format!(
                "this is a record of version {}; another version of pgvalet can check it",
                link.v
            )));
        }
        if !self.begun {
            self.begin(record, spot)?;
        } else if first && record.seq() == 1 {
            self.begin_again(record, spot)?;
        }
        self.follows(record, spot)?;
        let tree = link.and_then(|link| link.tree.as_ref());
        if link.is_some_and(|link| link.event == "checkpoint") {
            let tree = tree.ok_or_else(|| spot.broken("this checkpoint says nothing"))?;
            self.checkpoint(tree, spot)?;
        }
        self.closed = tree.is_some_and(|tree| tree.closed);
        self.chain.push_leaf(leaf);
        self.meets_anchors(spot)?;
        if let Some(link) = link {
            self.note(link, spot);
        }
        self.count(record);
        self.before.clone_from(spot);
        Ok(())
    }

    /// The first record: the beginning of a log, or the heading of a later file.
    fn begin(&mut self, record: &Record, spot: &Spot) -> Result<(), Broken> {
        self.begun = true;
        self.first = spot.clone();
        let tree = record.link().and_then(|link| link.tree.as_ref());
        if self.key.is_none() {
            self.key = tree
                .and_then(|tree| tree.key.as_ref())
                .and_then(|key| PublicKey::parse(key));
            self.report.key = self.key.as_ref().map(ToString::to_string);
        }
        let seq = record.seq();
        if seq > 1 {
            let tree = tree.and_then(TreeRef::tree);
            let tree = tree.filter(|tree| tree.size() + 1 == seq);
            let tree = tree.ok_or_else(|| {
                spot.broken(format!(
                    "{} missing before this one, and it is not the first of a file",
                    are(1, seq - 1)
                ))
            })?;
            self.from = tree.size();
            self.chain = Chain::new(tree, None);
        }
        self.meets_anchors(spot)
    }

    /// On standard output each start of pgvalet begins a log.
    fn begin_again(&mut self, record: &Record, spot: &Spot) -> Result<(), Broken> {
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
        self.begin(record, spot)
    }

    /// Checks that a record is the next one.
    fn follows(&self, record: &Record, spot: &Spot) -> Result<(), Broken> {
        let (due, seq) = (self.chain.seq() + 1, record.seq());
        if seq > due {
            let missing = are(due, seq - 1);
            return Err(spot.broken(format!("{missing} missing before this one")));
        }
        if seq < due {
            return Err(spot.broken(format!(
                "record {seq} stands after record {}: lines were moved or copied",
                due - 1
            )));
        }
        if self.chain.last().is_some() && record.prev() != Some(self.chain.prev()) {
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
    }

    fn count(&mut self, record: &Record) {
        self.report.records += 1;
        self.last = Some(record.place());
        if self.report.first.is_none() {
            self.report.first = self.last.clone().map(Place::from);
        }
    }
}
