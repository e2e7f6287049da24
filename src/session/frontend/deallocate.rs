//! SQL's DEALLOCATE of a statement that the client has made by Parse: on the
//! server it has another name, and others may use it. A stand-in is given up in
//! its place, so that it is the server that decides whether and when that
//! happens.

use super::Step;
use super::multiplex::{EMPTY, Multiplex};
use crate::session::replies::{Change, Deallocate, Reply};
use crate::wire::frame::{Frame, HEADER, cstr};
use crate::wire::sql::Suspicion;
use crate::wire::tag::status;

/// Portals that wait for their Execute; the server remembers as many as it likes,
/// but what is kept for a client here has an end.
const MAX_BOUND: usize = 64;

/// A DEALLOCATE that a portal was bound to.
pub(super) struct Bound {
    /// As the client calls the statement.
    name: Box<[u8]>,
    stand_in: u64,
}

impl Multiplex<'_> {
    /// As a simple query. `None`: the server knows what it means.
    pub(super) fn deallocate(&mut self, frame: &Frame, suspicion: &Suspicion) -> Option<Step> {
        let name = suspicion.deallocates.as_deref()?;
        if self.replies.change_pending() {
            return Some(Step::Wait);
        }
        self.front.names.get(name)?;
        let stand_in = self.statements.number();
        let server_name = self.statements.server_name(stand_in);
        // In one message, so that an error is answered as that of the client's.
        let sql = format!("PREPARE {server_name} AS SELECT; DEALLOCATE {server_name}");
        self.prepared.query(&sql, self.out.begin());
        self.gives_up(name, stand_in, true);
        self.front.note(frame, self.replies);
        Some(Step::Replaced)
    }

    /// By Bind, of a statement whose text it is: what has the name now is given up
    /// when the portal is executed. `head`: see [`bind_to`](Self::bind_to).
    pub(super) fn bind_deallocate(
        &mut self,
        frame: &Frame,
        portal: &[u8],
        head: usize,
        suspicion: &Suspicion,
    ) -> Option<Step> {
        let name = suspicion.deallocates.as_deref()?;
        if self.replies.batch_pending() {
            return Some(Step::Wait);
        }
        self.front.names.get(name)?;
        if self.status == status::FAILED {
            return None; // the server will not have it
        }
        let special = self.front.special.get_or_insert_default();
        if special.deallocating.len() >= MAX_BOUND {
            return None; // nor know the name
        }
        let stand_in = self.prepare_empty();
        let sql = format!("DEALLOCATE {}", self.statements.server_name(stand_in));
        let number = self.prepare_own(&[sql.as_bytes(), EMPTY].concat());
        let bound = Bound {
            name: name.into(),
            stand_in,
        };
        let special = self.front.special.get_or_insert_default();
        special.deallocating.insert(portal.into(), bound);
        Some(self.bind_to(frame, portal, head, number))
    }

    /// Execute, maybe of such a portal.
    pub(super) fn execute(&mut self, frame: &Frame, bytes: &[u8]) -> Step {
        let body = &bytes[HEADER..bytes.len().min(frame.len)];
        if body.first() == Some(&0) {
            self.front.sets = self.front.portal_sets;
        }
        if self.front.special.is_none() {
            return match body.is_empty() && bytes.len() < frame.len {
                true => Step::More,
                false => Step::Pass,
            };
        }
        let Some(portal) = cstr(body) else {
            return self.incomplete(frame, bytes);
        };
        let special = self.front.special.as_mut();
        let Some(bound) = special.and_then(|special| special.deallocating.remove(portal)) else {
            return Step::Pass;
        };
        if !self.front.names.contains_key(&bound.name) {
            return Step::Pass;
        }
        self.front.queries += 1;
        self.front.batch_open = true;
        self.out.begin();
        self.gives_up(&bound.name, bound.stand_in, false);
        Step::Rewritten(0)
    }

    fn gives_up(&mut self, name: &[u8], stand_in: u64, simple: bool) {
        let change = Change {
            name: name.into(),
            before: self.front.names.remove(name),
            after: None,
        };
        self.replies.push(Reply::Deallocate(Box::new(Deallocate {
            change,
            stand_in,
            simple,
        })));
    }
}
