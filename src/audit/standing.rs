//! Where a log stands when it is opened: the tree to continue, and what happened to the log
//! while nobody wrote it.
//!
//! The tree is continued from what was signed last, and not from what the files hold before
//! that: if somebody changed them, the change has to show.

use std::fs;
use std::io;
use std::path::Path;

use chrono::{DateTime, Utc};

use super::checkpoint::Checkpoint;
use super::files::{self, Lines, Segment, body};
use super::line::{Chain, Link, OLD_START, START, number};
use super::note::PublicKey;
use super::segment::Current;
use super::sink::Start;
use super::tree::{self, Tree};

#[derive(Debug, Default)]
pub(super) struct Standing {
    pub(super) chain: Chain,
    pub(super) start: Start,
    /// Whether the file has no record yet.
    pub(super) fresh: bool,
    /// The size of the checkpoint beside the log.
    pub(super) noted: u64,
    /// Where the file begins, if it has a record.
    pub(super) current: Option<Current>,
    /// What is wrong with the records before the next one.
    pub(super) gap: Option<String>,
    /// Why the file begins, if it is not the first of the log.
    pub(super) why: Option<String>,
}

/// What a file is, by its first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Log,
    /// A log as pgvalet wrote it before the tree.
    Old,
    Other,
}

/// Reads where the log at `path` stands.
///
/// # Errors
/// A file of the log cannot be read.
pub(super) fn read(path: &Path, key: &PublicKey) -> io::Result<Standing> {
    let length = fs::metadata(path)?.len();
    let saved = Saved::read(path, key)?;
    let noted = saved.checkpoint.map_or(0, |checkpoint| checkpoint.size);
    let segments = files::list(path)?;
    let mut replay = Replay::new(saved);
    let here = segments.iter().find(|segment| segment.path == path);
    let current = here.map(|segment| Current {
        first: segment.first,
        began: DateTime::parse_from_rfc3339(&segment.time)
            .map_or_else(|_| Utc::now(), |time| time.to_utc()),
    });
    let fresh = here.is_none();
    let begin = replay.chain.seq() + 1;
    let skip = segments
        .iter()
        .rposition(|segment| segment.first <= begin)
        .unwrap_or(0);
    for segment in &segments[skip..] {
        replay.file(segment)?;
    }
    if fresh && length > 0 {
        replay.torn = length;
        replay.unfinished = true; // or its last line end is torn as well
    }
    Ok(Standing {
        start: replay.start(),
        gap: replay.gap(),
        chain: replay.chain,
        fresh,
        noted,
        current,
        why: None,
    })
}

/// What the file at `path` is. An empty one is a log.
///
/// # Errors
/// It cannot be read.
pub(super) fn kind(path: &Path) -> io::Result<Kind> {
    let mut line = Vec::new();
    Lines::open(path)?.next(&mut line)?;
    let begins = |start: &[u8]| line.starts_with(&start[..line.len().min(start.len())]);
    Ok(match () {
        () if begins(START) => Kind::Log,
        () if begins(OLD_START) => Kind::Old,
        () => Kind::Other,
    })
}

/// What was signed last.
#[derive(Default)]
struct Saved {
    checkpoint: Option<Checkpoint>,
    /// The tree of the checkpoint, where its edge was kept.
    chain: Option<Chain>,
    wrong: Option<String>,
}

impl Saved {
    fn read(log: &Path, key: &PublicKey) -> io::Result<Self> {
        let note = match fs::read_to_string(files::checkpoint(log)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            note => note?,
        };
        let Some(checkpoint) = Checkpoint::open(&note, key) else {
            return Ok(Self {
                wrong: Some("the checkpoint beside the log is not signed with its key".to_owned()),
                ..Self::default()
            });
        };
        let edge = fs::read_to_string(files::edge(log)).unwrap_or_default();
        Ok(Self {
            checkpoint: Some(checkpoint),
            chain: parse_edge(&edge).filter(|chain| Checkpoint::from(chain.tree()) == checkpoint),
            wrong: None,
        })
    }
}

/// What [`parse_edge`] reads: the size, the hash of the last record, and the edge.
pub(super) fn edge_text(chain: &Chain) -> String {
    let mut text = format!("{}\n", chain.seq());
    for hash in chain.last().into_iter().chain(chain.tree().edge()) {
        text.push_str(&tree::encode(hash));
        text.push('\n');
    }
    text
}

fn parse_edge(text: &str) -> Option<Chain> {
    let mut lines = text.lines();
    let size = lines.next()?.parse().ok()?;
    let mut hashes = lines.map(tree::decode);
    let last = hashes.next()??;
    let edge = hashes.collect::<Option<_>>()?;
    Some(Chain::new(Tree::with_edge(size, edge)?, Some(last)))
}

/// Takes the records that nothing has signed yet into the tree.
struct Replay {
    chain: Chain,
    /// Checked when the tree has its size.
    checkpoint: Option<Checkpoint>,
    /// The number of the last record that is there.
    seen: u64,
    closed: bool,
    wrong: Option<String>,
    /// Bytes after the last record.
    torn: u64,
    /// Whether the file ends in the middle of a line.
    unfinished: bool,
}

impl Replay {
    fn new(saved: Saved) -> Self {
        Self {
            checkpoint: saved.checkpoint.filter(|_| saved.chain.is_none()),
            chain: saved.chain.unwrap_or_default(),
            seen: 0,
            closed: false,
            wrong: saved.wrong,
            torn: 0,
            unfinished: false,
        }
    }

    fn file(&mut self, segment: &Segment) -> io::Result<()> {
        let mut lines = Lines::open(&segment.path)?;
        let mut line = Vec::new();
        (self.torn, self.unfinished) = (0, false);
        while lines.next(&mut line)? {
            let ended = line.ends_with(b"\n");
            if number(&line).is_some_and(|number| number < self.chain.seq()) {
                self.torn = 0;
                continue;
            }
            match Link::read(body(&line)) {
                Some(link) => {
                    self.record(&link, body(&line));
                    self.torn = 0;
                    self.unfinished = !ended;
                }
                None => {
                    self.torn += line.len() as u64;
                    self.unfinished = !ended;
                }
            }
        }
        Ok(())
    }

    fn record(&mut self, link: &Link, line: &[u8]) {
        if self.chain.seq() == 0
            && link.seq > 1
            && let Some(tree) = link.tree.as_ref().and_then(|tree| tree.tree())
        {
            // Those before were removed.
            self.chain = Chain::new(tree, None);
        }
        let due = self.chain.seq() + 1;
        if link.seq > due && self.wrong.is_none() {
            self.wrong = Some(format!("records {due} to {} are missing", link.seq - 1));
        }
        if link.seq == due {
            self.chain.push(line);
            let here = self.checkpoint.filter(|c| c.size == due);
            if here.is_some_and(|checkpoint| checkpoint != Checkpoint::from(self.chain.tree())) {
                self.wrong = Some(format!(
                    "the records up to {due} are not those that were signed"
                ));
            }
        }
        self.seen = link.seq;
        self.closed = link.tree.as_ref().is_some_and(|tree| tree.closed);
    }

    fn start(&self) -> Start {
        // Where only the line end of a record is missing, nothing is torn.
        let own = u64::from(self.unfinished && self.torn > 0);
        Start {
            newline: self.unfinished,
            torn: self.torn + own,
        }
    }

    fn gap(&self) -> Option<String> {
        let signed = self.chain.seq().max(self.checkpoint.map_or(0, |c| c.size));
        if self.wrong.is_some() {
            return self.wrong.clone();
        }
        if self.seen < signed {
            return Some(format!(
                "records {} to {signed}, which were signed, are missing",
                self.seen + 1
            ));
        }
        (self.seen > 0 && !self.closed).then(|| {
            "the log was not closed: the process that wrote it ended without warning".to_owned()
        })
    }
}
