//! Unnamed statements for which a copy stands that was prepared before (`reuse_plans`).
//!
//! Such a Parse does not reach the server. The client gets its ParseComplete when the next
//! answer comes, and Bind and Describe of the batch name the copy. If the server refuses the
//! copy at the first of them, the client has seen nothing: the batch is sent again, with its
//! Parse. For that, the batch is kept until then, and a copy stands only for a Parse with
//! which a batch begins, outside of a transaction, with no answer under way. With Sync the
//! copy stands for nothing any more: a later Bind has the text parsed anew.

use super::multiplex::Multiplex;
use super::{FromClient, Step};
use crate::pool::{Evicted, Plan, Plans, Prepared};
use crate::session::relay::replies::{Describing, Reply};
use crate::wire::frame::Frame;
use crate::wire::message::{self, ErrorFields};
use crate::wire::tag::{frontend as tag, status};

/// The largest Parse whose plan is kept.
const MAX_BODY: usize = 8 * 1024;
/// The largest batch that can be sent again; in a larger one nothing is reused.
const MAX_BATCH: usize = 64 * 1024;

/// The copy that stands for the unnamed statement, and how it can be taken back.
#[derive(Default)]
pub(super) struct Reuse {
    copy: Option<Evicted>,
    /// Its batch is over: what is bound now has to be parsed anew.
    over: bool,
    again: Again,
}

/// Whether the batch can be sent again.
#[derive(Default)]
enum Again {
    #[default]
    No,
    /// The server has not yet said that the copy will do.
    Possible(Box<Batch>),
    /// The server has refused the copy: when it is ready, the batch is sent again.
    Due(Vec<u8>),
    /// The batch comes again: nothing stands for its Parse.
    Comes,
}

/// The messages of a batch, from its Parse on.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    /// Its Sync is there.
    whole: bool,
    /// What the server has said about parameters. It says that before it finds that the
    /// columns are others now.
    parameters: Vec<u8>,
}

impl FromClient {
    /// The number of the copy that stands for the unnamed statement.
    pub(super) fn stand_in(&self) -> Option<u64> {
        let copy = self.reuse.copy.filter(|_| !self.reuse.over)?;
        Some(copy.number)
    }

    /// Whether an error about this copy is one about the unnamed statement.
    pub fn stands_in(&self, number: u64) -> bool {
        self.reuse.copy.is_some_and(|copy| copy.number == number)
    }

    /// Nothing stands for the unnamed statement any more.
    pub(super) fn end_reuse(&mut self) {
        self.reuse.over = true;
    }

    /// Keeps a message that has been dealt with, if the batch may have to be sent again.
    #[inline]
    pub(super) fn record(&mut self, frame: &Frame, bytes: &[u8]) {
        let Again::Possible(batch) = &mut self.reuse.again else {
            return;
        };
        match bytes.get(..frame.len) {
            Some(message) if !batch.whole && batch.bytes.len() + message.len() <= MAX_BATCH => {
                batch.bytes.extend_from_slice(message);
                batch.whole = frame.tag == tag::SYNC;
            }
            // Messages behind it are with the server already, or it is too long.
            _ => self.reuse.again = Again::No,
        }
    }

    /// Keeps a ParameterDescription back, as long as the batch can be sent again.
    pub fn hold_parameters(&mut self, message: &[u8]) -> bool {
        let Again::Possible(batch) = &mut self.reuse.again else {
            return false;
        };
        batch.parameters = message.to_vec();
        true
    }

    /// The server has answered something behind the Parse: the copy is what the text means.
    /// Returns what was kept back.
    pub fn accept_reuse(&mut self) -> Vec<u8> {
        match std::mem::take(&mut self.reuse.again) {
            Again::Possible(batch) => batch.parameters,
            again => {
                self.reuse.again = again;
                Vec::new()
            }
        }
    }

    /// Handles an error that is the first answer of a batch with a copy. `true`: the copy is
    /// taken back, and the client sees nothing of this.
    pub fn takes_back(
        &mut self,
        error: &ErrorFields,
        plans: &Plans,
        prepared: &mut Prepared,
    ) -> bool {
        // 57014 and the like are no matter of the plan.
        let may_be_stale = ["0A", "22", "26", "42", "XX"]
            .iter()
            .any(|class| error.sqlstate.starts_with(class));
        let Again::Possible(batch) = &mut self.reuse.again else {
            return false;
        };
        if !may_be_stale || !batch.whole || error.is_fatal() {
            return false;
        }
        let bytes = std::mem::take(&mut batch.bytes);
        self.forget_plan(plans, prepared);
        self.reuse.again = Again::Due(bytes);
        true
    }

    /// Forgets the plan that stands for the unnamed statement: the next Parse of the text
    /// reaches the server.
    pub fn forget_plan(&mut self, plans: &Plans, prepared: &mut Prepared) {
        if let Some(copy) = self.reuse.copy.take() {
            plans.forget(copy.id);
            prepared.outdate(copy.id);
        }
    }

    /// Whether ReadyForQuery is awaited to send the batch again; nothing else is sent.
    pub fn sends_again(&self) -> bool {
        matches!(self.reuse.again, Again::Due(_))
    }

    /// The server connection is gone or given up: no ReadyForQuery will come.
    pub(super) fn lose_batch(&mut self) {
        if self.sends_again() {
            self.reuse.again = Again::No;
        }
    }

    /// The batch that is to be sent again, now that the server is ready.
    pub fn take_batch(&mut self) -> Vec<u8> {
        match std::mem::replace(&mut self.reuse.again, Again::Comes) {
            Again::Due(bytes) => bytes,
            _ => Vec::new(),
        }
    }
}

impl Multiplex<'_, '_> {
    /// Has a copy stand for the unnamed statement that is parsed, if possible. `body`: that
    /// of the Parse behind the name.
    pub(super) fn parse_by_plan(&mut self, body: &[u8]) -> Option<Step> {
        let statements = self.view.statements;
        if !statements.plans.are_kept() {
            return None;
        }
        let comes_again = matches!(self.client.reuse.again, Again::Comes);
        self.client.reuse = Reuse::default();
        let alone = !self.client.batch_open
            && self.status == status::IDLE
            && self.replies.is_empty()
            && body.len() <= MAX_BODY;
        if comes_again || !alone {
            return None;
        }
        // Texts that may leave something behind are watched in other ways.
        let unnamed = self.client.unnamed.as_ref();
        let settings = unnamed
            .filter(|u| u.suspicion.is_none())?
            .settings
            .clone()?;
        let copy = match statements.plans.find(body, &settings) {
            Plan::New => return None,
            Plan::Known(statement) => {
                let since = statements.plans.since(|| statements.number());
                let number = self.prepared.touch(statement.id, since);
                number.map(|number| Evicted {
                    id: statement.id,
                    number,
                })
            }
            Plan::Again => None,
        };
        let copy = match copy {
            Some(copy) => {
                self.client.reuse.again = Again::Possible(Box::default());
                copy
            }
            None => {
                let statement = statements.parse(body, Some(settings));
                let copy = Evicted {
                    id: statement.id,
                    number: statement.id,
                };
                self.make_room();
                self.prepared.insert(copy.id, copy.number);
                let name = statements.server_name(copy.number);
                let out = self.out.begin();
                message::parse(out, &name, body);
                message::describe_statement(out, &name);
                self.replies.push(Reply::HiddenParse(copy));
                self.replies
                    .push(Reply::HiddenDescribe(Box::new(Describing {
                        name: Box::default(),
                        statement,
                        number: copy.number,
                        parameters: None,
                        again: false,
                    })));
                copy
            }
        };
        self.client.reuse.copy = Some(copy);
        self.client.batch_open = true;
        self.client.flushed = false;
        self.replies.push(Reply::Reused);
        Some(Step::Replaced)
    }

    /// A Flush asks for answers. That of a Parse which did not reach the server comes with
    /// another answer, so the server is given something to answer.
    pub(super) fn flush(&mut self) -> Step {
        if self.replies.ends_with_reuse() {
            let number = self.view.statements.number();
            let nothing = self.view.statements.server_name(number);
            message::close_statement(self.out.begin(), &nothing);
            self.replies.push(Reply::HiddenClose(None));
        }
        Step::Pass
    }
}
