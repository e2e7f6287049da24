//! The lines of a block, each looked at as closely as a check needs.

use std::path::Path;

use super::fault::{Spot, Torn};
use crate::audit::files::body;
use crate::audit::line::{Link, PREV, Plain, TIME};
use crate::audit::report::Place;
use crate::audit::scan::Block;
use crate::audit::tree::{Hash, leaf};
use crate::base::hex;

/// A line of a file.
pub(super) struct Line {
    pub(super) what: What,
    pub(super) leaf: Hash,
    /// With its end.
    pub(super) length: u64,
    pub(super) ended: bool,
}

pub(super) enum What {
    Plain(Plain),
    Link(Box<Link>),
    /// No record.
    Torn,
}

pub(super) enum Record {
    Plain(Plain),
    Link(Box<Link>),
}

/// Number and time of a record.
#[derive(Clone)]
pub(super) enum Numbered {
    Plain(u64, [u8; TIME]),
    Link(u64, String),
}

impl From<Numbered> for Place {
    fn from(numbered: Numbered) -> Self {
        let (seq, time) = match numbered {
            Numbered::Plain(seq, time) => (seq, String::from_utf8_lossy(&time).into_owned()),
            Numbered::Link(seq, time) => (seq, time),
        };
        Self { seq, time }
    }
}

impl Record {
    pub(super) fn seq(&self) -> u64 {
        match self {
            Self::Plain(plain) => plain.seq,
            Self::Link(link) => link.seq,
        }
    }

    pub(super) fn prev(&self) -> Option<[u8; PREV]> {
        match self {
            Self::Plain(plain) => Some(plain.prev),
            Self::Link(link) => hex::decode(&link.prev)?.try_into().ok(),
        }
    }

    /// How many torn bytes it reports before it.
    pub(super) fn torn(&self) -> u64 {
        self.link().map_or(0, |link| link.torn)
    }

    /// All of it, unless it says nothing of the log itself.
    pub(super) fn link(&self) -> Option<&Link> {
        match self {
            Self::Plain(_) => None,
            Self::Link(link) => Some(link),
        }
    }

    pub(super) fn place(&self) -> Numbered {
        match self {
            Self::Plain(plain) => Numbered::Plain(plain.seq, plain.time),
            Self::Link(link) => Numbered::Link(link.seq, link.time.clone()),
        }
    }
}

/// Where a check is in a file.
#[derive(Default)]
pub(super) struct Here {
    pub(super) spot: Spot,
    pub(super) torn: Option<Torn>,
    /// Whether the last line has its end.
    pub(super) ended: bool,
    /// Whether there was a record.
    pub(super) begun: bool,
}

impl Here {
    /// Begins a file, unless it has begun.
    pub(super) fn enter(&mut self, file: &Path) {
        if self.spot.file != file {
            *self = Self {
                spot: Spot {
                    file: file.to_owned(),
                    line: 0,
                },
                ended: true,
                ..Self::default()
            };
        }
    }
}

/// The lines of a block, and whether its file ends with it.
pub(super) fn look(block: &Block) -> (Vec<Line>, bool) {
    let bytes = block.bytes();
    let mut lines: Vec<Line> = Vec::with_capacity(bytes.len() / 256);
    for range in block.lines() {
        let last = range.end == bytes.len();
        let line = &bytes[range];
        let content = body(line);
        // The last one of all may be half of a record that happens to look like a whole one.
        let plain = Plain::read(content).filter(|_| !last);
        let what = match plain {
            Some(plain) => What::Plain(plain),
            None => match Link::read(content) {
                Some(link) => What::Link(Box::new(link)),
                None => What::Torn,
            },
        };
        lines.push(Line {
            leaf: match what {
                What::Torn => Hash::default(),
                _ => leaf(content),
            },
            what,
            length: line.len() as u64,
            ended: line.len() > content.len(),
        });
    }
    (lines, block.ends_file)
}
