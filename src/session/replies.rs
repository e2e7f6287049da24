//! What the server still owes, in order.
//!
//! Every message that the server answers leaves an entry when it is sent. The
//! answers take them off again, so that at any moment it is known to whom the
//! next answer belongs: to the client, or to a message of pgvalet's own that
//! the client must not see. Answers that pgvalet gives itself wait in the same
//! queue for their turn.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::pool::Statement;
use crate::wire::message::{CLOSE_COMPLETE, PARSE_COMPLETE};

pub(super) enum Reply {
    /// Answered by anything up to ReadyForQuery.
    Query,
    Function,
    Sync,
    /// Parse of the client's. The change is undone if it fails.
    Parse(Box<Change>),
    ParseUnnamed,
    /// Parse of a name that the client uses already: fails, and the error's
    /// text has to name the client's name.
    ParseTaken(Box<Taken>),
    /// Parse that the client need not know of: a statement of its own, on a
    /// server connection that had not met it yet.
    HiddenParse(u64),
    HiddenParseUnnamed,
    Bind(Option<Arc<Statement>>),
    Describe,
    Execute,
    Close,
    /// An eviction.
    HiddenClose,
    /// Settings brought up to date: all of its answers are pgvalet's.
    HiddenQuery,
    /// Answered here, when its turn comes: ParseComplete for a statement that
    /// the server has already.
    KnownParse(Box<Change>),
    /// CloseComplete: the statement stays for others.
    KnownClose(Box<Change>),
    /// The end of the client's COPY data; it has no answer of its own.
    CopyEnd,
}

/// A client's statement name that got another meaning.
pub(super) struct Change {
    pub name: Box<[u8]>,
    pub before: Option<Arc<Statement>>,
    /// The statement that is being prepared on the server by this message.
    pub preparing: Option<u64>,
}

pub(super) struct Taken {
    pub client_name: Box<[u8]>,
    pub server_name: String,
}

#[derive(Default)]
pub(super) struct Replies {
    queue: VecDeque<Reply>,
    /// Between CopyInResponse and the end of the data: the server ignores
    /// Sync.
    copying_in: bool,
}

impl Replies {
    pub fn push(&mut self, reply: Reply) {
        if self.copying_in {
            match reply {
                Reply::Sync => return,
                Reply::CopyEnd => self.copying_in = false,
                _ => {}
            }
        }
        self.queue.push_back(reply);
    }

    pub fn front(&self) -> Option<&Reply> {
        self.queue.front()
    }

    pub fn pop(&mut self) -> Option<Reply> {
        self.queue.pop_front()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Memory of a burst is not kept by an idle client.
    pub fn shrink(&mut self) {
        if self.queue.capacity() > 16 {
            self.queue.shrink_to(0);
        }
    }

    /// Writes the answers whose turn has come and that are given here.
    pub fn answer_known(&mut self, out: &mut Vec<u8>) {
        loop {
            match self.queue.front() {
                Some(Reply::KnownParse(_)) => out.extend(PARSE_COMPLETE),
                Some(Reply::KnownClose(_)) => out.extend(CLOSE_COMPLETE),
                _ => return,
            }
            self.queue.pop_front();
        }
    }

    pub fn front_is_known(&self) -> bool {
        matches!(
            self.queue.front(),
            Some(Reply::KnownParse(_) | Reply::KnownClose(_))
        )
    }

    /// CopyInResponse: from now to the end of the data the server passes over
    /// Sync, and so do the ones that were sent behind the COPY already.
    pub fn copy_in(&mut self) {
        let ended = self.queue.iter().position(|r| matches!(r, Reply::CopyEnd));
        let mut at = 0;
        let end = ended.unwrap_or(self.queue.len());
        self.queue.retain(|reply| {
            let drop = at < end && matches!(reply, Reply::Sync);
            at += 1;
            !drop
        });
        self.copying_in = ended.is_none();
    }

    /// ErrorResponse. In the extended protocol the server now passes over
    /// everything up to the next Sync: those entries are returned, the latest
    /// first. The flag says that no Sync is among what was sent so far.
    pub fn fail(&mut self) -> (Vec<Reply>, bool) {
        self.copying_in = false;
        match self.queue.front() {
            None | Some(Reply::Query | Reply::Function | Reply::Sync | Reply::HiddenQuery) => {
                return (Vec::new(), false);
            }
            _ => {}
        }
        let sync = self.queue.iter().position(|r| matches!(r, Reply::Sync));
        let end = sync.unwrap_or(self.queue.len());
        let failed = self.queue.drain(..end).rev().collect();
        (failed, sync.is_none())
    }

    /// ReadyForQuery: what it answers, and whatever cannot have an answer any
    /// more, is taken off. `false` if nothing was waiting for it, which
    /// happens when a COPY was broken off before the server had read a Sync.
    pub fn ready(&mut self) -> bool {
        self.copying_in = false;
        let mut answered = false;
        while let Some(reply) = self.queue.front() {
            match reply {
                Reply::CopyEnd => {}
                Reply::Query | Reply::Function | Reply::Sync | Reply::HiddenQuery if !answered => {
                    answered = true;
                }
                _ => break,
            }
            self.queue.pop_front();
        }
        answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replies(entries: Vec<Reply>) -> Replies {
        let mut replies = Replies::default();
        entries.into_iter().for_each(|r| replies.push(r));
        replies
    }

    #[test]
    fn a_failed_batch_is_passed_over_up_to_its_sync() {
        let mut r = replies(vec![
            Reply::Bind(None),
            Reply::Execute,
            Reply::Query,
            Reply::Sync,
            Reply::Execute,
        ]);
        let (failed, open) = r.fail();
        assert_eq!((failed.len(), open), (3, false));
        assert!(matches!(failed[0], Reply::Query));
        assert!(r.ready());
        assert!(matches!(r.front(), Some(Reply::Execute)));
        let (failed, open) = r.fail();
        assert_eq!((failed.len(), open), (1, true));
    }

    #[test]
    fn the_error_of_a_simple_query_ends_with_its_ready() {
        let mut r = replies(vec![Reply::Query, Reply::Query]);
        assert!(r.fail().0.is_empty());
        assert!(r.ready());
        assert!(!r.is_empty());
        assert!(r.ready());
        assert!(r.is_empty());
        assert!(!r.ready());
    }

    #[test]
    fn a_sync_inside_copy_data_has_no_answer() {
        // libpq: Parse Bind Execute Sync, then data, CopyDone, Sync.
        let mut r = replies(vec![Reply::Execute, Reply::Sync]);
        r.copy_in();
        r.push(Reply::Sync);
        r.push(Reply::CopyEnd);
        r.push(Reply::Sync);
        assert!(matches!(r.pop(), Some(Reply::Execute)));
        assert!(r.ready());
        assert!(r.is_empty());
    }

    #[test]
    fn a_pipelined_copy_keeps_the_sync_behind_its_data() {
        let mut r = replies(vec![Reply::Query, Reply::CopyEnd, Reply::Sync]);
        r.copy_in();
        assert!(r.ready());
        assert!(r.ready());
        assert!(r.is_empty());
    }
}
