//! What the server still owes, in order.
//!
//! Every message that the server answers leaves an entry when it is sent. The answers take
//! the entries off again, so that at any moment it is known to whom the next answer belongs:
//! to the client, or to a message of pgvalet's own that the client must not see. Errors that
//! pgvalet makes itself are entries of the same queue.

mod copy;
mod reply;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

pub(super) use copy::Aftermath;
use reply::Kind;
pub(super) use reply::{
    Change, Deallocate, Describing, Fencing, Named, Refusal, Reply, Sets, Taken,
};

/// The number of awaited answers at which nothing more is read from the client. It is more
/// than a server holds back until Sync (a buffer of 8 KiB, of which the shortest message takes
/// five bytes), because the client may wait for those; and it is small enough to walk over the
/// queue for each of them.
const ROOM: usize = 4096;

/// The queue.
#[derive(Default)]
pub(super) struct Replies {
    queue: VecDeque<Reply>,
    /// The server is between CopyInResponse and the end of the data, where it ignores Sync.
    copying_in: bool,
    /// Messages that the server passes over, unless the COPY fails before it has read them.
    ignored: usize,
    /// The query of the first entry has copied in already.
    copied: bool,
    /// A message that the server ignored was written by pgvalet.
    lost: bool,
    /// Batches in the queue whose end is in the queue, too.
    batches: usize,
    /// Entries of those batches that change what is prepared.
    changes: usize,
    /// Entries of the batch without an end that change what is prepared.
    open_changes: usize,
    /// Entries that change the unnamed statement.
    unnamed: usize,
}

impl Replies {
    pub fn push(&mut self, reply: Reply) {
        match reply {
            // While the server takes COPY data it passes over Sync, and a message of another
            // kind makes the COPY fail; but the COPY may have failed already, and then all of
            // them are answered.
            Reply::CopyEnd => {}
            _ if self.copying_in => {
                self.ignored += 1;
                return;
            }
            _ => {}
        }
        match reply {
            // The end of a COPY that has failed: the server ignores it, too.
            Reply::CopyEnd if self.queue.is_empty() => return,
            Reply::CopyEnd => self.copying_in = false,
            _ => {}
        }
        match reply.kind() {
            Kind::End => {
                self.batches += 1;
                self.changes += std::mem::take(&mut self.open_changes);
            }
            Kind::Change => self.open_changes += 1,
            Kind::Unnamed => self.unnamed += 1,
            Kind::Other => {}
        }
        self.queue.push_back(reply);
    }

    /// Takes an entry that has left the queue out of the counts.
    fn uncount(&mut self, reply: &Reply) {
        match reply.kind() {
            Kind::End => self.batches -= 1,
            Kind::Change if self.changes > 0 => self.changes -= 1,
            Kind::Change => self.open_changes -= 1,
            Kind::Unnamed => self.unnamed -= 1,
            Kind::Other => {}
        }
    }

    /// Whether the server owes the end of a batch, which may be one whose COPY data it waits for.
    pub fn owes_a_batch(&self) -> bool {
        self.batches > 0
    }

    /// Whether a batch before the current one is not answered: it may still fail, and leave
    /// behind a failed transaction. A server that waits for COPY data is not waited for.
    pub fn batch_pending(&self) -> bool {
        self.owes_a_batch() && !self.copying_in
    }

    /// Whether a batch before the current one may still change what is prepared, or fail to.
    pub fn change_pending(&self) -> bool {
        self.changes > 0 && self.batch_pending()
    }

    /// Whether the unnamed statement may still change; the current batch counts, too.
    pub fn unnamed_pending(&self) -> bool {
        self.unnamed > 0
    }

    /// Notes that a copy is gone, so that its eviction, if one is under way, evicts nothing.
    pub fn forget_eviction(&mut self, gone: u64) {
        for reply in &mut self.queue {
            if let Reply::HiddenClose(of) = reply
                && of.is_some_and(|evicted| evicted.number == gone)
            {
                *of = None;
            }
        }
    }

    /// Whether something in the queue depends on which statements there are.
    pub fn has_changes(&self) -> bool {
        self.changes + self.open_changes > 0
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Reply> {
        self.queue.iter_mut()
    }

    /// Whether the next answers belong to a query of pgvalet's own.
    pub fn front_is_own(&self) -> bool {
        matches!(
            self.queue.front(),
            Some(Reply::HiddenQuery | Reply::Restore)
        )
    }

    /// Whether the answer to a query is awaited that puts in force what the client's next message
    /// needs.
    pub fn is_setting_up(&self) -> bool {
        matches!(self.queue.front(), Some(Reply::HiddenQuery))
    }

    /// Whether the answer to a fence is awaited; nothing else is sent until then.
    pub fn is_fencing(&self) -> bool {
        matches!(self.queue.front(), Some(Reply::Fence(_)))
    }

    /// The fence whose answer is awaited.
    pub fn fencing(&mut self) -> Option<&mut Fencing> {
        match self.queue.front_mut() {
            Some(Reply::Fence(fencing)) => Some(fencing),
            _ => None,
        }
    }

    pub fn front_mut(&mut self) -> Option<&mut Reply> {
        self.queue.front_mut()
    }

    pub fn front(&self) -> Option<&Reply> {
        self.queue.front()
    }

    pub fn pop(&mut self) -> Option<Reply> {
        let reply = self.queue.pop_front()?;
        self.uncount(&reply);
        self.ignored = 0;
        self.copied = false;
        // If that was a COPY, its data have come to an end with it; if it was none, the
        // server has ignored the end of the data.
        while matches!(self.queue.front(), Some(Reply::CopyEnd)) {
            self.queue.pop_front();
        }
        Some(reply)
    }

    /// How many statements the first batch runs before the server has to answer.
    pub fn running(&self) -> usize {
        let first = self.queue.iter().take_while(|r| !matches!(r, Reply::Sync));
        first
            .filter(|r| matches!(r, Reply::Execute(_)))
            .count()
            .max(1)
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether more answers may be awaited. A client that sends without reading is limited by
    /// the server's socket only where its messages reach the server; so it is limited here.
    pub fn has_room(&self) -> bool {
        self.queue.len() < ROOM
    }

    /// Frees the memory of a burst, so that an idle client does not keep it.
    pub fn shrink(&mut self) {
        if self.queue.capacity() > 16 {
            self.queue.shrink_to(0);
        }
    }

    /// Whether the server takes COPY data. The server passes over a Sync that is sent now.
    pub fn is_copying_in(&self) -> bool {
        self.copying_in
    }

    /// Handles ErrorResponse. In the extended protocol the server now passes over everything up
    /// to the next Sync: those entries are returned, the latest first. The flag says that no
    /// Sync has been sent so far.
    pub fn fail(&mut self) -> (Vec<Reply>, bool) {
        self.copying_in = false;
        match self.queue.front() {
            None => return (Vec::new(), false),
            Some(from_client) if from_client.ends_at_ready() => return (Vec::new(), false),
            Some(Reply::Deallocate(of)) if of.simple => return (Vec::from_iter(self.pop()), false),
            Some(_) => {}
        }
        let sync = self.queue.iter().position(|r| matches!(r, Reply::Sync));
        let end = sync.unwrap_or(self.queue.len());
        let failed: Vec<Reply> = self.queue.drain(..end).rev().collect();
        failed.iter().for_each(|reply| self.uncount(reply));
        (failed, sync.is_none())
    }

    /// Handles ReadyForQuery: takes off what it answers. `false` if nothing waited for it, which
    /// happens when a COPY was broken off before the server had read a Sync.
    pub fn take_ready(&mut self) -> bool {
        self.copying_in = false;
        let answers = self.queue.front().is_some_and(Reply::ends_at_ready);
        if answers {
            self.pop();
        }
        answers
    }
}
