//! What the texts of a session's statements may have left on the server.

use std::collections::BTreeSet;

use super::{FromClient, View};
use crate::wire::frame::{Frame, HEADER};
use crate::wire::sql::{Suspicion, holds, makes_table};
use crate::wire::tag::frontend as tag;

/// The number of custom settings that are followed by name; with more, a session keeps its
/// server connection.
const MAX_CUSTOM: usize = 64;

/// What is suspected. It is gathered over a session; `ask` and `touched` over a lease.
#[derive(Default)]
pub(in crate::session) struct Watch {
    /// The server has to be asked when the lease ends.
    pub ask: bool,
    /// The names of settings of custom classes.
    pub custom: BTreeSet<Box<str>>,
    /// The time limits that the session may have set.
    pub limits: BTreeSet<Box<str>>,
    /// Settings were made whose names are not known.
    pub hidden_setting: bool,
    /// The server connection may hold something that ends only with it.
    pub holds: bool,
    /// Settings may have been changed in this lease, or in its transaction: it is not known
    /// which ones are in force.
    pub touched: bool,
}

impl Watch {
    /// Adds what is suspected of a text.
    pub(super) fn raise(&mut self, suspicion: &Suspicion) {
        self.ask |= suspicion.ask;
        self.hidden_setting |= suspicion.hidden_setting;
        self.holds |= suspicion.holds;
        self.touched |=
            suspicion.touches || suspicion.ask || suspicion.local_set || suspicion.resets.is_some();
        self.limits.extend(suspicion.limits.iter().cloned());
        for name in &suspicion.custom {
            if self.custom.len() < MAX_CUSTOM {
                self.custom.insert(name.clone());
            } else {
                self.hidden_setting = true;
            }
        }
    }

    /// Adds what is suspected of a text; `whole`: all of the text was inspected.
    pub(super) fn note(&mut self, suspicion: Option<&Suspicion>, whole: bool) {
        if let Some(suspicion) = suspicion {
            self.raise(suspicion);
        }
        self.ask |= !whole;
    }
}

impl FromClient {
    /// Looks for what a client may leave on the connection that it keeps, where texts are not
    /// looked at otherwise: in session mode.
    pub(super) fn look_for_what_stays(&mut self, frame: &Frame, bytes: &[u8], view: &View<'_>) {
        self.look_for_holds(frame, bytes);
        if view.statements.plans.ddl.is_watched() {
            self.look_for_tables(frame, bytes);
        }
    }

    /// Looks for statements that leave what DISCARD ALL does not take back.
    fn look_for_holds(&mut self, frame: &Frame, bytes: &[u8]) {
        if matches!(frame.tag, tag::QUERY | tag::PARSE)
            && let Some(text) = bytes.get(HEADER..bytes.len().min(frame.len))
        {
            self.watch.holds |= holds(text);
        }
    }

    /// Looks for statements that make tables.
    fn look_for_tables(&mut self, frame: &Frame, bytes: &[u8]) {
        let text = bytes.get(HEADER..bytes.len().min(frame.len));
        let makes = || bytes.len() < frame.len || text.is_some_and(makes_table);
        match frame.tag {
            tag::QUERY => self.sets = self.sets.making(makes()),
            tag::PARSE => self.makes_tables |= makes(),
            _ => {}
        }
    }
}
