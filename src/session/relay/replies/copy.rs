//! COPY FROM STDIN: which messages a server ignores while it takes data.

use super::{Replies, Reply};

/// What is known of the answers behind an error.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::session::relay) enum Aftermath {
    /// All answers behind the error are known.
    Known,
    /// A COPY failed with Sync behind it: the server has read that as part of the COPY and
    /// ignored it, or will still answer it.
    Doubtful,
    /// It is not known whether COPY goes on, and that decides which answer belongs to which
    /// message.
    Lost,
}

impl Replies {
    /// Handles CopyInResponse: from now to the end of the data the server passes over Sync, and
    /// also over those that were sent behind the COPY already. Returns whether the batch is now
    /// without an end.
    ///
    /// A message of another kind makes the COPY fail, and has no other answer than that; what
    /// stands behind it is answered again.
    pub fn copy_in(&mut self) -> bool {
        // One query may COPY twice: the end of the first one's data has been read by now.
        while matches!(self.queue.get(1), Some(Reply::CopyEnd)) && self.copied {
            self.queue.remove(1);
        }
        self.copied = true;
        let behind = |r: &Reply| !matches!(r, Reply::Sync);
        let other = self.queue.iter().skip(1).position(behind);
        let end = match other.map(|at| at + 1) {
            Some(at) if matches!(self.queue[at], Reply::CopyEnd) => at,
            Some(at) => at + 1,
            None => self.queue.len(),
        };
        self.copying_in = end == self.queue.len();
        // Only these are touched: a client may have thousands of COPYs under way.
        let ignored: Vec<Reply> = match self.queue.len() {
            0 => Vec::new(),
            len => self.queue.drain(1..end.clamp(1, len)).rev().collect(),
        };
        for reply in ignored {
            self.lost |= reply.is_placed();
            self.uncount(&reply);
            self.ignored += 1;
        }
        self.batches == 0
    }

    /// How much is known of the answers behind an error; to be called before
    /// [`fail`](Self::fail). What was sent while a COPY took data, and counted as passed over,
    /// may still be answered.
    pub fn take_aftermath(&mut self) -> Aftermath {
        if std::mem::take(&mut self.ignored) == 0 {
            return Aftermath::Known;
        }
        if std::mem::take(&mut self.lost) {
            return Aftermath::Lost;
        }
        // The first entry is the COPY. Answers to what the client sent behind it are passed on
        // in any case; but what pgvalet put in, or answers itself, has a place that depends on
        // the count.
        let mut behind = self.queue.iter().skip(1);
        if behind.any(Reply::is_placed) {
            Aftermath::Lost
        } else {
            Aftermath::Doubtful
        }
    }
}
