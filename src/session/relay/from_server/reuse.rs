//! The answer to a Parse that did not reach the server: see `from_client/plans.rs`.

use super::{Fate, Scan};
use crate::session::relay::findings::Finding;
use crate::wire::message::{self, ErrorFields};
use crate::wire::tag::backend as tag;
use crate::wire::{Frame, HEADER};

impl Scan<'_> {
    /// Handles the first answer to what came behind such a Parse.
    pub(super) fn at_reuse(&mut self, frame: &Frame, message: &[u8]) -> Fate {
        match frame.tag {
            // These answer nothing.
            tag::NOTICE_RESPONSE | tag::PARAMETER_STATUS | tag::NOTIFICATION_RESPONSE => {
                return self.answer(frame, message);
            }
            tag::PARAMETER_DESCRIPTION
                if message.len() == frame.len && self.from_client.hold_parameters(message) =>
            {
                return Fate::Drop;
            }
            tag::ERROR_RESPONSE => {
                let fields = ErrorFields::read(message);
                let prepared = &mut *self.view.prepared;
                let plans = &self.view.statements.plans;
                if self.from_client.takes_back(&fields, plans, prepared) {
                    let (failed, no_sync) = self.replies.fail();
                    let prepared = &mut *self.view.prepared;
                    self.from_client
                        .undo(failed, no_sync, self.replies, prepared);
                    return Fate::Drop;
                }
            }
            _ => {}
        }
        let kept_back = self.from_client.accept_reuse();
        self.replies.pop();
        self.cursor.end_run(self.out);
        message::parse_complete(self.out);
        self.out.extend(kept_back);
        self.answer(frame, message)
    }

    /// Handles the ReadyForQuery behind an error that the client does not see.
    pub(super) fn ready_to_send_again(&mut self, message: &[u8]) -> Fate {
        self.replies.take_ready();
        if let Some(&status) = message.get(HEADER) {
            self.state.status = status;
        }
        self.findings.add(Finding::SendAgain);
        Fate::Drop
    }
}
