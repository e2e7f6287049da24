//! SQL's DEALLOCATE of a statement that the client has made by Parse. On the server the
//! statement has another name, and other clients may use it. A stand-in is deallocated in its
//! place, so that the server decides whether and when that happens.

use super::Step;
use super::copies::EMPTY;
use super::multiplex::Multiplex;
use crate::session::relay::replies::{Change, Deallocate, Reply};
use crate::wire::frame::{Frame, HEADER, cstr};
use crate::wire::sql::Suspicion;
use crate::wire::tag::status;

/// Portals that wait for their Execute. The server may remember more, but what is kept here
/// for a client is limited.
const MAX_BOUND: usize = 64;

/// A DEALLOCATE that a portal was bound to.
pub(super) struct Bound {
    /// The client's name for the statement.
    name: Box<[u8]>,
    stand_in: u64,
}

impl Multiplex<'_, '_> {
    /// Handles a DEALLOCATE in a simple query. `None`: it passes as it is.
    pub(super) fn deallocate(&mut self, frame: &Frame, suspicion: &Suspicion) -> Option<Step> {
        let name = suspicion.deallocates.as_deref()?;
        if self.replies.change_pending() {
            return Some(Step::Wait);
        }
        self.client.names.get(name)?;
        let stand_in = self.view.statements.number();
        let server_name = self.view.statements.server_name(stand_in);
        // One message, so that an error is the answer to the client's own.
        let sql = format!("PREPARE {server_name} AS SELECT; DEALLOCATE {server_name}");
        self.prepared.query(&sql, self.out.begin());
        self.give_up(name, stand_in, true);
        self.client.note(frame, self.replies);
        Some(Step::Replaced)
    }

    /// Handles a Bind of a statement that is a DEALLOCATE: what has the name now is deallocated
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
        self.client.names.get(name)?;
        if self.status == status::FAILED {
            return None; // the server will refuse it
        }
        let special = self.client.special.get_or_insert_default();
        if special.deallocating.len() >= MAX_BOUND {
            return None; // the server will not know the name
        }
        let stand_in = self.prepare_empty();
        let sql = format!("DEALLOCATE {}", self.view.statements.server_name(stand_in));
        let number = self.prepare_own(&[sql.as_bytes(), EMPTY].concat());
        let bound = Bound {
            name: name.into(),
            stand_in,
        };
        let special = self.client.special.get_or_insert_default();
        special.deallocating.insert(portal.into(), bound);
        Some(self.bind_to(frame, portal, head, number))
    }

    /// Handles Execute, which may be of such a portal.
    pub(super) fn execute(&mut self, frame: &Frame, bytes: &[u8]) -> Step {
        let body = &bytes[HEADER..bytes.len().min(frame.len)];
        if body.first() == Some(&0) {
            self.client.sets = self.client.portal_sets;
        }
        if self.client.special.is_none() {
            return match body.is_empty() && bytes.len() < frame.len {
                true => Step::More,
                false => Step::Pass,
            };
        }
        let Some(portal) = cstr(body) else {
            return self.incomplete(frame, bytes);
        };
        let special = self.client.special.as_mut();
        let Some(bound) = special.and_then(|special| special.deallocating.remove(portal)) else {
            return Step::Pass;
        };
        if !self.client.names.contains_key(&bound.name) {
            return Step::Pass;
        }
        self.client.queries += 1;
        self.client.batch_open = true;
        self.out.begin();
        self.give_up(&bound.name, bound.stand_in, false);
        Step::Rewritten(0)
    }

    /// Takes the name off the client, and notes that the server deallocates the stand-in.
    fn give_up(&mut self, name: &[u8], stand_in: u64, simple: bool) {
        let change = Change {
            name: name.into(),
            before: self.client.names.remove(name),
            after: None,
        };
        self.replies.push(Reply::Deallocate(Box::new(Deallocate {
            change,
            stand_in,
            simple,
        })));
    }
}
