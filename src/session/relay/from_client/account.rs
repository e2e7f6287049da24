//! The accounts of the client's messages: what the server will owe for them, and what an error
//! undoes.

use super::{Copying, FromClient};
use crate::pool::Prepared;
use crate::session::relay::replies::{Replies, Reply, Sets};
use crate::wire::frame::Frame;
use crate::wire::tag::frontend as tag;

impl FromClient {
    /// Notes what the server will owe for a message that passes as it is.
    pub(super) fn note(&mut self, frame: &Frame, replies: &mut Replies) {
        let sets = std::mem::take(&mut self.sets);
        if replies.is_copying_in()
            && !matches!(
                frame.tag,
                tag::COPY_DONE | tag::COPY_FAIL | tag::COPY_DATA | tag::FLUSH
            )
        {
            return replies.push(Reply::Sync);
        }
        match frame.tag {
            tag::QUERY => {
                self.queries += 1;
                self.batch_open = false; // a simple query ends the batch before it
                self.names.settle();
                self.drop_unnamed(); // and the unnamed statement
                self.unnamed_in_batch = false;
                self.ran_in_batch = false;
                replies.push(Reply::Query(sets));
            }
            tag::FUNCTION_CALL => {
                self.batch_open = false;
                self.unnamed_in_batch = false;
                self.ran_in_batch = false;
                replies.push(Reply::Function);
            }
            tag::SYNC => {
                self.batch_open = false;
                self.names.settle();
                self.unnamed_in_batch = false;
                self.ran_in_batch = false;
                self.skipping = false;
                self.batch_is_sent();
                // What a Bind of the next batch does to the portal shows when it is answered.
                self.portal_sets = Sets::MAYBE;
                replies.push(Reply::Sync);
            }
            tag::COPY_DONE | tag::COPY_FAIL => replies.push(Reply::CopyEnd),
            tag::FLUSH => self.flushed = true,
            tag::COPY_DATA => {}
            tag => {
                self.flushed = false;
                self.batch_open = true;
                replies.push(match tag {
                    tag::PARSE => Reply::ParseUnnamed,
                    tag::BIND => Reply::Bind(None),
                    tag::DESCRIBE => Reply::Describe(0),
                    tag::CLOSE => Reply::Close(None),
                    _ => {
                        self.queries += 1;
                        self.ran_in_batch = true;
                        let makes_table = sets.makes_table || self.makes_tables;
                        Reply::Execute(sets.making(makes_table))
                    }
                });
            }
        }
    }

    /// Undoes what messages would have changed that the server passed over after an error.
    /// `failed`: their entries, the latest first.
    ///
    /// The unnamed statement before a new one is not remembered: where the new one was passed
    /// over, there is none until the next Parse, while on Postgres the one before would come
    /// back.
    pub fn undo(
        &mut self,
        failed: Vec<Reply>,
        no_sync: bool,
        replies: &Replies,
        prepared: &mut Prepared,
    ) {
        self.copying = Copying::No;
        if no_sync {
            // A simple query behind the failed message counted as the end of
            // the batch, but the server passes over it as well.
            self.skipping = true;
            self.batch_open = true;
        }
        for reply in failed {
            match reply {
                Reply::Parse(change) => {
                    if let Some(after) = &change.after {
                        prepared.remove_number(after.since);
                    }
                    self.rename(change.name, change.before);
                }
                Reply::Close(Some(change)) => self.rename(change.name, change.before),
                Reply::Deallocate(d) => self.rename(d.change.name, d.change.before),
                Reply::HiddenParse(copy) => prepared.remove_number(copy.number),
                Reply::HiddenClose(Some(evicted)) => prepared.restore(evicted),
                // A later batch may have parsed another unnamed statement already.
                _ if replies.unnamed_pending() => {}
                Reply::ParseUnnamed | Reply::Reused => {
                    self.drop_unnamed();
                    prepared.forget_unnamed();
                }
                Reply::HiddenParseUnnamed | Reply::HiddenCloseUnnamed => {
                    prepared.forget_unnamed();
                }
                _ => {}
            }
        }
    }

    /// Notes that the server is ready again, after a Sync that was taken for one that it would
    /// ignore. `all`: nothing else is awaited.
    pub fn resume(&mut self, all: bool) {
        if std::mem::take(&mut self.skipping) || all {
            self.batch_open = false;
        }
    }

    /// Forgets what was about to happen on the server connection.
    pub fn lease_ends(&mut self) {
        self.restore = None;
        self.copying = Copying::No;
        self.lose_batch();
        self.watch.touched = false;
        if let Some(special) = &mut self.special {
            special.deallocating.clear();
        }
    }

    /// Puts in a query of pgvalet's own, whose answers the client does not see.
    pub fn ask(sql: &str, out: &mut Vec<u8>, replies: &mut Replies, prepared: &mut Prepared) {
        prepared.query(sql, out);
        replies.push(Reply::HiddenQuery);
    }
}
