//! The bytes of a write: what they are made of, and what is left of them when it fails.

use chrono::Utc;

use super::Writer;
use crate::audit::Record;
use crate::audit::checkpoint::TreeRef;
use crate::audit::counts::Entry;
use crate::audit::line::{Chain, Notes, append};
use crate::audit::sink::Start;

impl Writer {
    /// Appends the lines to `bytes`. Returns how many are the log's own, which come first.
    pub(super) fn compose(
        &self,
        bytes: &mut Vec<u8>,
        chain: &mut Chain,
        lost: u64,
        entries: &[Entry],
    ) -> Result<u64, serde_json::Error> {
        let start = self.sink.start();
        let mut notes = Notes {
            lost,
            torn: start.torn,
        };
        if start.newline {
            bytes.push(b'\n');
        }
        let mut own = Vec::new();
        if let Some(why) = &self.heading {
            own.push(Record::checkpoint(self.tree_ref(true), why.as_deref()));
        }
        own.extend(self.gap.as_deref().map(Record::gap));
        for record in &own {
            let notes = std::mem::take(&mut notes);
            append(bytes, chain, &self.proxy, Utc::now(), notes, record)?;
        }
        for entry in entries {
            let notes = std::mem::take(&mut notes);
            let proxy = entry.proxy.as_deref().unwrap_or(&self.proxy);
            append(bytes, chain, proxy, entry.time, notes, &entry.record)?;
        }
        Ok(own.len() as u64)
    }

    /// What a checkpoint record says now.
    pub(super) fn tree_ref(&self, heading: bool) -> TreeRef {
        let (tree, signer) = (self.chain.tree(), self.seals.signer());
        let now = TreeRef::new(tree, signer, self.seals.noted());
        match heading {
            true => now.heading(tree, signer.public()),
            false => now,
        }
    }

    /// Finds out how much of a failed write is in the file, and goes on behind that. Returns the
    /// number of lines that are there.
    pub(super) fn broke_off(&mut self, bytes: &[u8]) -> u64 {
        let written = usize::try_from(self.sink.written()).unwrap_or(usize::MAX);
        let written = &bytes[..written.min(bytes.len())];
        if written.is_empty() {
            return 0;
        }
        let before = self.sink.start();
        let begin = usize::from(before.newline);
        let mut lines = 0;
        let mut at = begin;
        while let Some(length) = bytes[at..].iter().position(|b| *b == b'\n')
            // Only its line end may be missing.
            && at + length <= written.len()
        {
            self.chain.push(&bytes[at..at + length]);
            lines += 1;
            at = (at + length + 1).min(bytes.len());
        }
        let torn = written.len().saturating_sub(at) as u64;
        let unfinished = torn > 0 || written.len() + 1 == at;
        let earlier = if lines > 0 { 0 } else { before.torn };
        self.sink.begin_with(Start {
            newline: unfinished,
            torn: earlier + torn + u64::from(torn > 0),
        });
        lines
    }
}
