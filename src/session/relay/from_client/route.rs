//! Whether a message goes to the server at all.

use super::{FromClient, Verdict};
use crate::wire::ClientError;
use crate::wire::frame::Frame;
use crate::wire::tag::frontend as tag;

/// What is refused of the messages to come.
#[derive(Debug, Default, Clone, Copy)]
pub(super) enum Refused {
    #[default]
    No,
    /// The next message.
    Message,
    /// Everything up to Sync.
    Batch,
}

/// Where a message goes.
pub(super) enum Route {
    Forward,
    Drop,
}

impl FromClient {
    /// Refuses the next message, which begins with this tag; the caller answers with an error.
    /// `true`: the message is refused alone; `false`: with everything up to Sync.
    pub fn refuse(&mut self, tag: u8) -> bool {
        let alone = matches!(tag, tag::QUERY | tag::FUNCTION_CALL | tag::SYNC);
        self.refused = if alone {
            Refused::Message
        } else {
            Refused::Batch
        };
        alone
    }

    /// Whether a message goes to the server.
    ///
    /// # Errors
    /// Why it is not dealt with now.
    pub(super) fn route(&mut self, frame: &Frame, leased: bool) -> Result<Route, Verdict> {
        match (self.refused, frame.tag) {
            (Refused::No, _) | (_, tag::TERMINATE) => {}
            (Refused::Message, _) => {
                self.refused = Refused::No;
                return Ok(Route::Drop);
            }
            (Refused::Batch, tag) => {
                if tag == tag::SYNC {
                    self.refused = Refused::No;
                    self.refused_batches += 1;
                }
                return Ok(Route::Drop);
            }
        }
        match frame.tag {
            tag::TERMINATE => Err(Verdict::Terminate),
            // Left over from a COPY that failed, or a Flush with nothing to flush: Postgres
            // ignores them, too.
            tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL | tag::FLUSH if !leased => {
                Ok(Route::Drop)
            }
            tag::PARSE
            | tag::BIND
            | tag::DESCRIBE
            | tag::EXECUTE
            | tag::CLOSE
            | tag::FUNCTION_CALL
            | tag::QUERY
            | tag::FLUSH
            | tag::COPY_DATA
            | tag::COPY_DONE
            | tag::COPY_FAIL
                if self.skipping =>
            {
                Ok(Route::Drop)
            }
            tag::QUERY
            | tag::PARSE
            | tag::BIND
            | tag::DESCRIBE
            | tag::EXECUTE
            | tag::CLOSE
            | tag::SYNC
            | tag::FUNCTION_CALL
                if !leased =>
            {
                Err(Verdict::NeedServer)
            }
            tag::QUERY
            | tag::PARSE
            | tag::BIND
            | tag::DESCRIBE
            | tag::EXECUTE
            | tag::CLOSE
            | tag::SYNC
            | tag::FUNCTION_CALL
            | tag::FLUSH
            | tag::COPY_DATA
            | tag::COPY_DONE
            | tag::COPY_FAIL => Ok(Route::Forward),
            other => Err(Verdict::Violation(ClientError::UnknownMessage(other))),
        }
    }
}
