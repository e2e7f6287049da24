//! Unnamed statements for which a copy stands that was prepared before (`reuse_plans`).
//!
//! Such a Parse does not reach the server. The client gets its ParseComplete when the next
//! answer comes, and Bind and Describe of the batch name the copy. If the server refuses the
//! copy at the first of them, the client has seen nothing: the batch is sent again, with its
//! Parse. So a copy stands only where that is possible: for a batch that is here as a whole,
//! and is nothing but Parse, Describe, one Bind, Execute and Sync; outside of a transaction,
//! with no answer under way. What the client sends behind it waits until the server has
//! accepted the copy. With Sync the copy stands for nothing any more: a later Bind has the text
//! parsed anew.

use super::multiplex::Multiplex;
use super::{FromClient, Step};
use crate::pool::{Evicted, ParseSettings, Plan, Plans, Prepared};
use crate::session::relay::replies::{Describing, Reply};
use crate::wire::frame::{Frame, HEADER, cstr};
use crate::wire::message::{self, ErrorFields};
use crate::wire::sql::is_timeless;
use crate::wire::tag::{frontend as tag, object, status};

/// The largest Parse whose plan is kept.
const MAX_BODY: usize = 8 * 1024;
/// The largest batch in which a plan is used; it is kept until the server has accepted that.
const MAX_BATCH: usize = 16 * 1024;

/// The copy that stands for the unnamed statement, and how it can be taken back.
#[derive(Default)]
pub(super) struct Reuse {
    copy: Option<Evicted>,
    /// The batch of the copy is over: what is bound now has to be parsed anew.
    over: bool,
    again: Again,
    /// What the server has said about parameters, and the client has not been told. The
    /// server says that before it finds that the columns are others now.
    parameters: Vec<u8>,
}

/// Whether the batch can be sent again.
#[derive(Default)]
enum Again {
    #[default]
    No,
    /// The server has not yet said that the copy will do. `sent`: the server has all of the batch.
    Possible { batch: Vec<u8>, sent: bool },
    /// The server has refused the copy: when it is ready, the batch is sent again.
    Due(Vec<u8>),
    /// The batch comes again: nothing stands for its Parse.
    Comes,
}

impl FromClient {
    /// The number of the copy that stands for the unnamed statement.
    pub(super) fn stand_in(&self) -> Option<u64> {
        let reuse = self.reuse.as_ref().filter(|reuse| !reuse.over)?;
        Some(reuse.copy?.number)
    }

    /// Whether an error about this copy is one about the unnamed statement.
    pub fn stands_in(&self, number: u64) -> bool {
        let copy = self.reuse.as_ref().and_then(|reuse| reuse.copy);
        copy.is_some_and(|copy| copy.number == number)
    }

    /// Notes that nothing stands for the unnamed statement any more.
    pub(super) fn end_reuse(&mut self) {
        if let Some(reuse) = &mut self.reuse {
            reuse.over = true;
        }
    }

    /// The batch has been sent as a whole.
    pub(super) fn batch_is_sent(&mut self) {
        let Some(reuse) = &mut self.reuse else { return };
        reuse.over = true;
        if let Again::Possible { sent, .. } = &mut reuse.again {
            *sent = true;
        }
    }

    /// Whether what the client sends has to wait: the batch before it may be sent again.
    pub(super) fn may_send_again(&self) -> bool {
        matches!(
            self.again(),
            Some(Again::Possible { sent: true, .. } | Again::Due(_))
        )
    }

    /// Keeps a ParameterDescription back, as long as the batch can be sent again.
    pub fn hold_parameters(&mut self, message: &[u8]) -> bool {
        let Some(reuse) = &mut self.reuse else {
            return false;
        };
        let possible = matches!(reuse.again, Again::Possible { .. });
        if possible {
            reuse.parameters = message.to_vec();
        }
        possible
    }

    /// The server has answered something behind the Parse: the copy is what the text means.
    /// Returns what was kept back.
    pub fn accept_reuse(&mut self) -> Vec<u8> {
        let Some(reuse) = &mut self.reuse else {
            return Vec::new();
        };
        if matches!(reuse.again, Again::Possible { .. }) {
            reuse.again = Again::No;
        }
        std::mem::take(&mut reuse.parameters)
    }

    /// Handles an error that is the first answer of a batch with a copy. `true`: the copy is
    /// taken back, and the client sees nothing of this.
    pub fn takes_back(
        &mut self,
        error: &ErrorFields,
        plans: &Plans,
        prepared: &mut Prepared,
    ) -> bool {
        // Other errors, like 57014, do not depend on the plan.
        let may_be_stale = ["0A000", "22P02", "22P03", "26000", "42", "XX000"]
            .iter()
            .any(|class| error.sqlstate.starts_with(class));
        let Some(reuse) = &mut self.reuse else {
            return false;
        };
        let Again::Possible { batch, sent: true } = &mut reuse.again else {
            return false;
        };
        if !may_be_stale || error.is_fatal() {
            return false;
        }
        let batch = std::mem::take(batch);
        reuse.parameters.clear();
        if let Some(copy) = reuse.copy.take() {
            plans.forget(copy.id);
            prepared.outdate(copy.id);
        }
        reuse.again = Again::Due(batch);
        true
    }

    /// Whether ReadyForQuery is awaited to send the batch again; nothing else is sent.
    pub fn sends_again(&self) -> bool {
        matches!(self.again(), Some(Again::Due(_)))
    }

    fn again(&self) -> Option<&Again> {
        self.reuse.as_ref().map(|reuse| &reuse.again)
    }

    /// The server connection is gone or given up: no ReadyForQuery will come.
    pub(super) fn lose_batch(&mut self) {
        if self.sends_again() {
            self.reuse = None;
        }
    }

    /// The batch that is to be sent again, now that the server is ready.
    pub fn take_batch(&mut self) -> Vec<u8> {
        let again = self.reuse.as_mut().map(|reuse| &mut reuse.again);
        match again.map(|again| std::mem::replace(again, Again::Comes)) {
            Some(Again::Due(bytes)) => bytes,
            _ => Vec::new(),
        }
    }
}

impl Multiplex<'_, '_> {
    /// Has a copy stand for the unnamed statement that is parsed, if possible. `bytes` begins
    /// with the Parse, `body` is that of the Parse behind the name.
    pub(super) fn parse_by_plan(&mut self, bytes: &[u8], body: &[u8]) -> Option<Step> {
        if !self.may_use_plans(body) {
            return None;
        }
        let statements = self.view.statements;
        let batch = whole_batch(bytes)?;
        if !is_timeless(cstr(body)?) {
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
        let (copy, again) = match copy {
            Some(copy) => {
                let (batch, sent) = (batch.to_vec(), false);
                (copy, Again::Possible { batch, sent })
            }
            None => (self.make_copy(body, settings), Again::No),
        };
        let reuse = self.client.reuse.get_or_insert_default();
        (reuse.copy, reuse.over, reuse.again) = (Some(copy), false, again);
        self.client.batch_open = true;
        self.client.flushed = false;
        self.replies.push(Reply::Reused);
        Some(Step::Replaced)
    }

    /// Whether a copy may stand for an unnamed statement at this moment.
    fn may_use_plans(&mut self, body: &[u8]) -> bool {
        let kept = self.view.statements.plans.are_kept();
        if !kept || self.client.batch_open || !self.replies.is_empty() {
            return false;
        }
        let comes_again = matches!(self.client.again(), Some(Again::Comes));
        if comes_again && let Some(reuse) = &mut self.client.reuse {
            reuse.again = Again::No;
        }
        if comes_again || self.status != status::IDLE || body.len() > MAX_BODY {
            return false;
        }
        // What an IMMUTABLE function makes of a custom setting would be part of the plan.
        let settings = self.view.profile.settings();
        let custom = !self.client.watch.custom.is_empty() || self.client.watch.hidden_setting;
        !custom && !settings.keys().any(|name| name.contains('.'))
    }

    /// Makes a copy of an unnamed statement on the server connection, and has it described.
    fn make_copy(&mut self, body: &[u8], settings: ParseSettings) -> Evicted {
        let statement = self.view.statements.parse(body, Some(settings));
        let copy = Evicted {
            id: statement.id,
            number: statement.id,
        };
        self.make_room();
        self.prepared.insert(copy.id, copy.number);
        let name = self.view.statements.server_name(copy.number);
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
}

/// The batch that begins with this Parse, if all of it is here, and nothing in it can depend on
/// anything but the statement: Describe, one Bind, Execute and Sync.
fn whole_batch(bytes: &[u8]) -> Option<&[u8]> {
    let (mut at, mut bound, mut described) = (0, false, false);
    loop {
        let frame = Frame::read(bytes.get(at..)?).ok()??;
        let message = bytes.get(at..at + frame.len)?;
        let first = at == 0;
        at += frame.len;
        if at > MAX_BATCH {
            return None;
        }
        let body = message.get(HEADER..)?;
        match frame.tag {
            tag::PARSE if first => {}
            tag::DESCRIBE if body == [object::STATEMENT, 0] && !bound => described = true,
            tag::BIND if !bound && cstr(body.get(cstr(body)?.len() + 1..)?)?.is_empty() => {
                bound = true;
            }
            tag::DESCRIBE if bound && body.first() == Some(&object::PORTAL) => {}
            tag::EXECUTE if bound => {}
            tag::SYNC => return (bound || described).then_some(&bytes[..at]),
            _ => return None,
        }
    }
}
