//! The files of a log, one after the other.

use std::io;

use super::Check;
use super::fault::{Fault, NOT_A_RECORD, Torn, check_torn};
use super::look::{Here, Line, Record, What, look};
use crate::audit::files::Segment;
use crate::audit::report::Broken;
use crate::audit::scan::{Ended, scan};

impl Check {
    pub(super) fn files(&mut self, segments: &[Segment]) -> Result<(), Fault> {
        let mut here = Here::default();
        let mut fault = None;
        let scanned = scan(
            segments.len(),
            |n| segments[n].reader(),
            look,
            |file, (lines, ends_file)| {
                here.enter(&segments[file].path);
                let taken = self.block(&mut here, lines).and_then(|()| match ends_file {
                    true => self.end_of_file(&here),
                    false => Ok(()),
                });
                fault = taken.err();
                fault.is_none()
            },
        );
        match scanned {
            Ok(()) => Ok(()),
            Err(Ended::Enough) => {
                Err(fault.map_or_else(|| io::Error::other("").into(), Fault::Broken))
            }
            Err(Ended::Io { file, error }) => {
                here.enter(&segments[file].path);
                Err(match segments[file].is_compressed() {
                    true => {
                        let reason = format!("the file cannot be decompressed: {error}");
                        Fault::Broken(here.spot.broken(reason))
                    }
                    false => error.into(),
                })
            }
        }
    }

    fn block(&mut self, here: &mut Here, lines: Vec<Line>) -> Result<(), Broken> {
        for line in lines {
            here.spot.line += 1;
            here.ended = line.ended;
            let link = match line.what {
                What::Torn => {
                    let torn = here.torn.get_or_insert_with(|| Torn {
                        spot: here.spot.clone(),
                        bytes: 0,
                        unfinished: false,
                    });
                    torn.bytes += line.length;
                    torn.unfinished = !line.ended;
                    continue;
                }
                What::Plain(plain) => Record::Plain(plain),
                What::Link(link) => Record::Link(link),
            };
            check_torn(here.torn.take(), link.torn(), &here.spot)?;
            let first = !here.begun;
            here.begun = true;
            self.record(&link, line.leaf, &here.spot, first)?;
        }
        Ok(())
    }

    /// What only the end of a file shows.
    fn end_of_file(&mut self, here: &Here) -> Result<(), Broken> {
        match &here.torn {
            Some(torn) if torn.unfinished => self.report.notes.push(format!(
                "{}:{}: the file ends in the middle of a record: it is being written, or the write was broken off",
                torn.spot.file.display(),
                torn.spot.line
            )),
            Some(torn) => return Err(torn.spot.broken(NOT_A_RECORD)),
            None if !here.ended && self.chain.seq() <= self.promised() => {
                return Err(here.spot.broken("the line end of this record is missing"));
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
}
