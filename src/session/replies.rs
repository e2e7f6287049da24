//! What the server still owes, in order.
//!
//! Every message that the server answers leaves an entry when it is sent. The
//! answers take them off again, so that at any moment it is known to whom the
//! next answer belongs: to the client, or to a message of pgvalet's own that
//! the client must not see. Answers that pgvalet gives itself wait in the same
//! queue for their turn.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::pool::{Evicted, Statement};
use crate::upstream::Fence;
use crate::wire::sql::Suspicion;

pub(super) enum Reply {
    /// Answered by anything up to ReadyForQuery.
    Query(Sets),
    Function,
    Sync,
    /// Parse of the client's. The change is undone if it fails.
    Parse(Box<Change>),
    ParseUnnamed,
    /// Parse of a name that the client uses already: fails, and the error's
    /// text has to name the client's name.
    ParseTaken(Box<Taken>),
    /// Refused by pgvalet: fails, and the error says why.
    Refused(&'static Refusal),
    /// Parse that the client need not know of: a statement of its own, on a
    /// server connection that had not met it yet.
    HiddenParse(Evicted),
    HiddenParseUnnamed,
    /// Describe of what was parsed before it.
    HiddenDescribe(Box<Describing>),
    /// A statement of pgvalet's own, in the middle of a batch of the client's:
    /// answered by Parse-, Bind- and CommandComplete.
    HiddenStatement,
    /// By the number of the copy; `None` where the server knows the name.
    Bind(Option<u64>),
    /// The same; 0 for a portal, and for what the server knows.
    Describe(u64),
    Execute(Sets),
    /// Close of the client's. Its own statement stays for others: something is
    /// closed in its place that does not exist.
    Close(Option<Box<Change>>),
    /// An eviction; without a copy, of what is not there any more.
    HiddenClose(Option<Evicted>),
    HiddenCloseUnnamed,
    /// Settings brought up to date: all of its answers are pgvalet's.
    HiddenQuery,
    /// What the client brought is set anew: the same, but that the
    /// ReadyForQuery is the client's.
    Restore,
    /// A question whose answer shows that nothing else is owed. Whatever comes
    /// before it is the client's.
    Fence(Box<Fencing>),
    /// DEALLOCATE of a statement made by Parse. In a simple query, whose entry
    /// follows, the tag of a PREPARE comes before.
    Deallocate(Box<Deallocate>),
    /// The end of the client's COPY data; it has no answer of its own.
    CopyEnd,
}

/// What a command tag `SET` in the answer means for the session.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sets {
    /// Each SET of the text ends with its transaction.
    Locally,
    /// At least one may outlast it, for all that is known.
    #[default]
    Maybe,
}

impl Sets {
    pub fn of(suspicion: Option<&Suspicion>) -> Self {
        match suspicion {
            Some(suspicion) if suspicion.local_set => Self::Locally,
            _ => Self::Maybe,
        }
    }
}

/// A limit of pgvalet's that a message has met.
pub(super) struct Refusal {
    pub sqlstate: &'static str,
    pub text: &'static str,
    pub hint: &'static str,
}

pub(super) struct Describing {
    /// The client's name for the statement.
    pub name: Box<[u8]>,
    pub statement: Arc<Statement>,
    /// That of the copy.
    pub number: u64,
    /// ParameterDescription's body.
    pub parameters: Option<Box<[u8]>>,
    /// It was parsed before, on another server connection or at another time, and
    /// has to be what it was then.
    pub again: bool,
}

pub(super) struct Fencing {
    pub fence: Fence,
    /// The answer has begun.
    pub begun: bool,
}

/// A client's statement name that got another meaning.
pub(super) struct Change {
    pub name: Box<[u8]>,
    pub before: Option<Named>,
    /// `None` where it was closed.
    pub after: Option<Named>,
}

/// What a client's statement name stands for.
#[derive(Clone)]
pub(super) struct Named {
    pub statement: Arc<Statement>,
    /// The client parsed it then: no copy with a lower number will do.
    pub since: u64,
}

pub(super) struct Deallocate {
    pub change: Change,
    /// The number of what is given up on the server.
    pub stand_in: u64,
    pub simple: bool,
}

pub(super) struct Taken {
    pub client_name: Box<[u8]>,
    pub server_name: String,
}

/// Answers that may be awaited before the client is no longer listened to. More
/// than a server holds back until Sync (a buffer of 8 KiB, of which the shortest
/// message takes five bytes), for which the client would wait as well; and few
/// enough to be walked over for each of them.
const ROOM: usize = 4096;

#[derive(Default)]
pub(super) struct Replies {
    queue: VecDeque<Reply>,
    /// Between CopyInResponse and the end of the data: the server ignores
    /// Sync.
    copying_in: bool,
    /// Sync messages that it passes over, unless the COPY fails before it has
    /// read them.
    ignored: usize,
    /// The first entry is of a query that has copied in already.
    copied: bool,
    /// One of them was a message that pgvalet has written anew.
    lost: bool,
    /// Batches in the queue that have their end there too.
    batches: usize,
    /// Entries of those batches that change what is prepared.
    changes: usize,
    /// The same of the batch that has no end yet.
    open_changes: usize,
    /// Entries that change the unnamed statement.
    unnamed: usize,
}

/// What an entry means for messages behind it.
enum Kind {
    /// Ends a batch: after it, the server answers whatever came before.
    End,
    /// Changes what is prepared, if the server gets that far.
    Change,
    Unnamed,
    Other,
}

impl Reply {
    fn kind(&self) -> Kind {
        match self {
            Self::Sync | Self::Query(_) | Self::Function => Kind::End,
            Self::Parse(_)
            | Self::Close(Some(_))
            | Self::Deallocate(_)
            | Self::HiddenParse(_)
            | Self::HiddenClose(_) => Kind::Change,
            Self::ParseUnnamed | Self::HiddenParseUnnamed | Self::HiddenCloseUnnamed => {
                Kind::Unnamed
            }
            _ => Kind::Other,
        }
    }
}

impl Reply {
    /// ReadyForQuery is its answer, or the last of its answers.
    fn ends_at_ready(&self) -> bool {
        matches!(
            self,
            Self::Query(_) | Self::Function | Self::Sync | Self::HiddenQuery | Self::Restore
        )
    }

    /// Whether pgvalet has to do something at just this answer.
    fn is_placed(&self) -> bool {
        !matches!(
            self,
            Self::Query(_)
                | Self::Function
                | Self::Sync
                | Self::CopyEnd
                | Self::ParseUnnamed
                | Self::Bind(_)
                | Self::Describe(_)
                | Self::Execute(_)
                | Self::Close(_)
        )
    }
}

impl Replies {
    pub fn push(&mut self, reply: Reply) {
        match reply {
            // While it takes COPY data the server passes over Sync, and a
            // message of another kind makes the COPY fail; but it may have
            // failed already, and then all of them are answered.
            Reply::CopyEnd => {}
            _ if self.copying_in => {
                self.ignored += 1;
                return;
            }
            _ => {}
        }
        match reply {
            // Of a COPY that has failed: the server ignores it as well.
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

    fn gone(&mut self, reply: &Reply) {
        match reply.kind() {
            Kind::End => self.batches -= 1,
            Kind::Change if self.changes > 0 => self.changes -= 1,
            Kind::Change => self.open_changes -= 1,
            Kind::Unnamed => self.unnamed -= 1,
            Kind::Other => {}
        }
    }

    /// Whether the server owes the client the end of a batch, be it one whose
    /// COPY data it waits for.
    pub fn owes_a_batch(&self) -> bool {
        self.batches > 0
    }

    /// Whether a batch before the current one is not through: it may still
    /// fail, and leave behind a failed transaction. Once the server waits for
    /// COPY data, nothing but that gets it any further.
    pub fn batch_pending(&self) -> bool {
        self.owes_a_batch() && !self.copying_in
    }

    /// Whether a batch before the current one may still change what is
    /// prepared, or fail to.
    pub fn change_pending(&self) -> bool {
        self.changes > 0 && self.batch_pending()
    }

    /// The same of the unnamed statement, the current batch included.
    pub fn unnamed_pending(&self) -> bool {
        self.unnamed > 0
    }

    /// A copy is gone, so that nothing is left for its eviction.
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

    /// The next answer is to something that the client knows nothing of.
    pub fn front_is_own(&self) -> bool {
        matches!(
            self.queue.front(),
            Some(Reply::HiddenQuery | Reply::Restore)
        )
    }

    /// Until a fence is answered, nothing else is asked.
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
        self.gone(&reply);
        self.ignored = 0;
        self.copied = false;
        // Whatever was answered, if it was a COPY, its data have come to an
        // end with it; and if it was none, the server has ignored this.
        while matches!(self.queue.front(), Some(Reply::CopyEnd)) {
            self.queue.pop_front();
        }
        Some(reply)
    }

    /// How many statements run before the server has to answer: those of the
    /// first batch.
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

    /// Answers of pgvalet's own pass no server whose socket would fill up, so
    /// that they have to be bounded here.
    pub fn has_room(&self) -> bool {
        self.queue.len() < ROOM
    }

    /// Memory of a burst is not kept by an idle client.
    pub fn shrink(&mut self) {
        if self.queue.capacity() > 16 {
            self.queue.shrink_to(0);
        }
    }

    /// CopyInResponse: from now to the end of the data the server passes over
    /// Sync, and so do the ones that were sent behind the COPY already. Whether
    /// the batch is now without an end.
    ///
    /// A message of another kind makes the COPY fail, and has no other answer
    /// than that; what stands behind it is answered again.
    pub fn copy_in(&mut self) -> bool {
        // One query may COPY twice: what ended the data of the first one has been
        // read by now.
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
            self.gone(&reply);
            self.ignored += 1;
        }
        self.batches == 0
    }

    /// Whether the server takes COPY data. A Sync that is sent now it passes over.
    pub fn is_copying_in(&self) -> bool {
        self.copying_in
    }

    /// To be asked before [`fail`](Self::fail): how much is known of what
    /// follows the error. What was sent while a COPY took data, and counted as
    /// passed over, may yet be answered.
    pub fn aftermath(&mut self) -> Aftermath {
        if std::mem::take(&mut self.ignored) == 0 {
            return Aftermath::Known;
        }
        if std::mem::take(&mut self.lost) {
            return Aftermath::Lost;
        }
        // The first one is the COPY. What the client sent behind it is answered
        // as it is, whoever counts; what pgvalet put in, or answers itself, has
        // a place that depends on the count.
        let mut behind = self.queue.iter().skip(1);
        if behind.any(Reply::is_placed) {
            Aftermath::Lost
        } else {
            Aftermath::Doubtful
        }
    }

    /// ErrorResponse. In the extended protocol the server now passes over
    /// everything up to the next Sync: those entries are returned, the latest
    /// first. The flag says that no Sync is among what was sent so far.
    pub fn fail(&mut self) -> (Vec<Reply>, bool) {
        self.copying_in = false;
        match self.queue.front() {
            None => return (Vec::new(), false),
            Some(front) if front.ends_at_ready() => return (Vec::new(), false),
            Some(Reply::Deallocate(of)) if of.simple => return (Vec::from_iter(self.pop()), false),
            Some(_) => {}
        }
        let sync = self.queue.iter().position(|r| matches!(r, Reply::Sync));
        let end = sync.unwrap_or(self.queue.len());
        let failed: Vec<Reply> = self.queue.drain(..end).rev().collect();
        failed.iter().for_each(|reply| self.gone(reply));
        (failed, sync.is_none())
    }

    /// ReadyForQuery: what it answers is taken off. `false` if nothing was
    /// waiting for it, which happens when a COPY was broken off before the
    /// server had read a Sync.
    pub fn ready(&mut self) -> bool {
        self.copying_in = false;
        let answers = self.queue.front().is_some_and(Reply::ends_at_ready);
        if answers {
            self.pop();
        }
        answers
    }
}

/// What is known of the answers behind an error.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Aftermath {
    Known,
    /// A COPY failed with Sync behind it: the server read that as part of the
    /// COPY and ignored it, or will yet answer it.
    Doubtful,
    /// The same, and which answer belongs to what depends on it.
    Lost,
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
            Reply::Execute(Sets::Maybe),
            Reply::Query(Sets::Maybe),
            Reply::Sync,
            Reply::Execute(Sets::Maybe),
        ]);
        let (failed, open) = r.fail();
        assert_eq!((failed.len(), open), (3, false));
        assert!(matches!(failed[0], Reply::Query(_)));
        assert!(r.ready());
        assert!(matches!(r.front(), Some(Reply::Execute(_))));
        let (failed, open) = r.fail();
        assert_eq!((failed.len(), open), (1, true));
    }

    #[test]
    fn the_error_of_a_simple_query_ends_with_its_ready() {
        let mut r = replies(vec![Reply::Query(Sets::Maybe), Reply::Query(Sets::Maybe)]);
        assert!(r.fail().0.is_empty());
        assert!(r.ready());
        assert!(!r.is_empty());
        assert!(r.ready());
        assert!(r.is_empty());
        assert!(!r.ready());
    }

    #[test]
    fn what_is_forgotten_is_still_counted() {
        use crate::pool::Prepared;
        use crate::session::frontend::Frontend;
        let mut r = replies(vec![
            Reply::Query(Sets::Maybe),
            Reply::HiddenClose(Some(Evicted { id: 7, number: 7 })),
            Reply::Sync,
        ]);
        assert!(r.change_pending());
        Frontend::default().forget_statements(&mut r, &mut Prepared::with_limit(3));
        while r.pop().is_some() {}
        r.push(Reply::Sync);
        assert!(!r.change_pending() && !r.unnamed_pending());
    }

    #[test]
    fn a_sync_inside_copy_data_has_no_answer() {
        // libpq: Parse Bind Execute Sync, then data, CopyDone, Sync.
        let mut r = replies(vec![Reply::Execute(Sets::Maybe), Reply::Sync]);
        r.copy_in();
        r.push(Reply::Sync);
        r.push(Reply::CopyEnd);
        r.push(Reply::Sync);
        assert!(matches!(r.pop(), Some(Reply::Execute(_))));
        assert!(r.ready());
        assert!(r.is_empty());
    }

    /// The second one takes data as the first did, and a Sync in them is ignored.
    #[test]
    fn one_query_copies_twice() {
        let mut r = replies(vec![Reply::Query(Sets::Maybe)]);
        r.copy_in();
        r.push(Reply::CopyEnd);
        r.push(Reply::Sync);
        r.copy_in();
        assert!(r.is_copying_in());
        r.push(Reply::Sync);
        r.push(Reply::CopyEnd);
        assert!(r.ready() && r.is_empty());
    }

    #[test]
    fn a_pipelined_copy_keeps_the_sync_behind_its_data() {
        let mut r = replies(vec![Reply::Query(Sets::Maybe), Reply::CopyEnd, Reply::Sync]);
        r.copy_in();
        assert!(r.ready());
        assert!(r.ready());
        assert!(r.is_empty());
    }
}
