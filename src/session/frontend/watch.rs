//! What the texts of a session's statements have given reason to suspect.

use std::collections::BTreeSet;

use crate::wire::sql::Suspicion;

/// Custom settings a session is followed with by name; beyond that it keeps
/// its server connection.
const MAX_CUSTOM: usize = 64;

/// Gathered over a session; `ask` and `touched` over a lease.
#[derive(Default)]
pub(in crate::session) struct Watch {
    /// The server has to be asked when the lease ends.
    pub ask: bool,
    /// Names of settings of custom classes, from the whole session.
    pub custom: BTreeSet<Box<str>>,
    /// Time limits that the session may have set.
    pub limits: BTreeSet<Box<str>>,
    /// Settings were made that nobody knows the names of.
    pub hidden_setting: bool,
    /// Settings may have been changed in this lease, be it for its transaction:
    /// which ones are in force is not known.
    pub touched: bool,
}

impl Watch {
    pub(super) fn raise(&mut self, suspicion: &Suspicion) {
        self.ask |= suspicion.ask;
        self.hidden_setting |= suspicion.hidden_setting;
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

    /// What was suspected of a text that was too long to be looked at whole,
    /// or not.
    pub(super) fn note(&mut self, suspicion: Option<&Suspicion>, whole: bool) {
        if let Some(suspicion) = suspicion {
            self.raise(suspicion);
        }
        self.ask |= !whole;
    }
}
