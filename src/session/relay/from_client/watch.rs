//! What the texts of a session's statements may have left on the server.

use std::collections::BTreeSet;

use crate::wire::sql::Suspicion;

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
