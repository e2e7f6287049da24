//! Bind, Describe and Close: the statement's name is written anew.

use super::Step;
use super::multiplex::Multiplex;
use super::refusal::MAX_NAMES;
use crate::session::relay::replies::{Change, Reply, Sets};
use crate::wire::frame::{Frame, HEADER, cstr};
use crate::wire::message;
use crate::wire::tag::{frontend as tag, object};

impl Multiplex<'_, '_> {
    pub(super) fn bind(&mut self, frame: &Frame, bytes: &[u8]) -> Step {
        let body = &bytes[HEADER..bytes.len().min(frame.len)];
        let Some(portal) = cstr(body) else {
            return self.incomplete(frame, bytes);
        };
        let Some(name) = cstr(&body[portal.len() + 1..]) else {
            return self.incomplete(frame, bytes);
        };
        if HEADER + portal.len() + 1 + name.len() >= MAX_NAMES {
            return self.refuse_name();
        }
        if let Some(special) = &mut self.client.special {
            special.deallocating.remove(portal);
        }
        let head = HEADER + portal.len() + 1 + name.len() + 1;
        if name.is_empty() {
            return self.bind_unnamed(frame, portal, head);
        }
        if self.replies.change_pending() {
            return Step::Wait;
        }
        let Some(named) = self.client.names.get(name).cloned() else {
            // The statement was made by SQL's PREPARE, or is unknown: the server knows which.
            return Step::Pass;
        };
        let statement = &named.statement;
        if self.listen_before_unlisten(statement.suspicion.as_deref()) {
            return Step::Wait;
        }
        if portal.is_empty() {
            self.client.portal_sets = Sets::of(statement.suspicion.as_deref(), true);
        }
        if let Some(suspicion) = &statement.suspicion {
            if let Some(step) = self.bind_deallocate(frame, portal, head, suspicion) {
                return step;
            }
            self.client.watch.raise(suspicion);
            self.may_reset(Some(suspicion));
        }
        match self.prepare(&named) {
            Some(number) => self.bind_to(frame, portal, head, number),
            None => self.wait_for_copy(),
        }
    }

    fn bind_unnamed(&mut self, frame: &Frame, portal: &[u8], head: usize) -> Step {
        if portal.is_empty() {
            self.client.portal_sets = self.client.unnamed_sets;
        }
        // The lease may be another than the one in which the statement was parsed.
        if let Some(unnamed) = &self.client.unnamed
            && let Some(suspicion) = &unnamed.suspicion
        {
            self.client.watch.raise(suspicion);
        }
        let special = self.client.special.as_mut();
        if let Some(suspicion) = special.and_then(|special| special.unnamed.take()) {
            self.may_reset(Some(&suspicion));
            let step = self.bind_deallocate(frame, portal, head, &suspicion);
            self.client.suspect_unnamed(Some(suspicion));
            if let Some(step) = step {
                return step;
            }
        }
        match self.client.stand_in() {
            Some(number) => self.bind_to(frame, portal, head, number),
            None => self.restore_unnamed(),
        }
    }

    /// Writes a Bind with the statement's name on the server. `head`: the length of what comes
    /// before the parameters, as the client sent it.
    pub(super) fn bind_to(
        &mut self,
        frame: &Frame,
        portal: &[u8],
        head: usize,
        number: u64,
    ) -> Step {
        self.client.batch_open = true;
        let out = self.out.begin();
        out.push(tag::BIND);
        let length_at = out.len();
        out.extend([0; 4]);
        out.extend_from_slice(portal);
        out.push(0);
        self.view.statements.write_name(number, out);
        out.push(0);
        let length = (out.len() - length_at) + (frame.len - head);
        out[length_at..length_at + 4].copy_from_slice(&(length as u32).to_be_bytes());
        self.replies.push(Reply::Bind(Some(number)));
        Step::Rewritten(head)
    }

    fn describe_copy(&mut self, number: u64) -> Step {
        let server_name = self.view.statements.server_name(number);
        message::describe_statement(self.out.begin(), &server_name);
        self.client.batch_open = true;
        self.replies.push(Reply::Describe(number));
        Step::Replaced
    }

    pub(super) fn describe_or_close(&mut self, frame: &Frame, bytes: &[u8]) -> Step {
        if frame.len >= MAX_NAMES {
            return self.refuse_name();
        }
        let Some(whole) = bytes.get(..frame.len) else {
            return self.incomplete(frame, bytes);
        };
        let Some((&kind, rest)) = whole[HEADER..].split_first() else {
            return Step::Pass;
        };
        let Some(name) = cstr(rest) else {
            return Step::Pass;
        };
        match (frame.tag, kind) {
            (tag::DESCRIBE, object::STATEMENT) if name.is_empty() => match self.client.stand_in() {
                Some(number) => self.describe_copy(number),
                None => self.restore_unnamed(),
            },
            (_, object::STATEMENT) if !name.is_empty() && self.replies.change_pending() => {
                Step::Wait
            }
            (tag::DESCRIBE, object::STATEMENT) => {
                let Some(named) = self.client.names.get(name).cloned() else {
                    return Step::Pass;
                };
                let Some(number) = self.prepare(&named) else {
                    return self.wait_for_copy();
                };
                self.describe_copy(number)
            }
            (_, object::STATEMENT) if name.is_empty() => {
                self.client.drop_unnamed();
                self.prepared.forget_unnamed();
                Step::Pass
            }
            (_, object::STATEMENT) => {
                let Some(before) = self.client.names.remove(name) else {
                    return Step::Pass;
                };
                self.client.batch_open = true;
                let change = Change {
                    name: name.into(),
                    before: Some(before),
                    after: None,
                };
                let nothing = self
                    .view
                    .statements
                    .server_name(self.view.statements.number());
                message::close_statement(self.out.begin(), &nothing);
                self.replies.push(Reply::Close(Some(Box::new(change))));
                Step::Replaced
            }
            _ => Step::Pass,
        }
    }
}
