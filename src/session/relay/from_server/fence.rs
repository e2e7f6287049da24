//! Messages that come while the answer to a fence is awaited.

use super::{Certainty, Fate, Scan};
use crate::wire::HEADER;
use crate::wire::message::{ErrorFields, read_parameter_status};
use crate::wire::tag::{backend as tag, status};

impl Scan<'_> {
    /// Handles a message before or in the answer; what comes before it is the client's. The
    /// stream is broken where the fence cannot be answered any more.
    pub(super) fn at_fence(&mut self, tag: u8, message: &[u8]) -> Fate {
        let Some(fencing) = self.replies.fencing() else {
            return Fate::Pass;
        };
        match tag {
            tag::PARAMETER_STATUS => {
                if let Some((name, value)) = read_parameter_status(message) {
                    self.view.reported.set(name, value);
                }
                Fate::Pass
            }
            tag::NOTIFICATION_RESPONSE | tag::NOTICE_RESPONSE => Fate::Pass,
            tag::ROW_DESCRIPTION if !fencing.begun && fencing.fence.is_answered_by(message) => {
                fencing.begun = true;
                Fate::Drop
            }
            tag::DATA_ROW | tag::COMMAND_COMPLETE if fencing.begun => Fate::Drop,
            tag::READY_FOR_QUERY => {
                let begun = fencing.begun;
                self.state.status = message.get(HEADER).copied().unwrap_or(status::IDLE);
                if begun {
                    self.replies.pop();
                    self.state.certainty = Certainty::Fenced;
                } else if self.state.status == status::IDLE {
                    self.state.transactions += 1;
                }
                Fate::pass_if(!begun)
            }
            _ if fencing.begun => Fate::Broken,
            // The question itself was taken for something else, or refused.
            tag::COPY_IN_RESPONSE | tag::COPY_BOTH_RESPONSE => Fate::Broken,
            tag::ERROR_RESPONSE => {
                let fields = ErrorFields::read(message);
                self.state.fatal |= fields.is_fatal();
                match fields.sqlstate.as_str() {
                    "25P02" | "08P01" => Fate::Broken,
                    _ => Fate::Pass,
                }
            }
            _ => Fate::Pass,
        }
    }
}
