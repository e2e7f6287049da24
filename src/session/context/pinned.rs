//! What keeps a session on its server connection.

use std::time::{Duration, Instant};

use parking_lot::MutexGuard;
use tracing::info;

use super::{Handle, Held, Signal};

/// The state that keeps a session may go away; asking for it costs a query.
const MOVE_AGAIN: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct Pinned {
    now: Option<&'static str>,
    /// Why it could not move to another generation, and when that was found.
    stays: Option<(&'static str, Instant)>,
    /// Reasons that have been logged once.
    told: Vec<&'static str>,
}

impl Handle {
    fn pinned_state(&self) -> MutexGuard<'_, Option<Box<Pinned>>> {
        self.pinned.lock()
    }

    pub fn pinned(&self) -> Option<&'static str> {
        self.pinned_state().as_ref().and_then(|p| p.now)
    }

    /// Why the session could not move when it last tried.
    pub fn stays(&self) -> Option<&'static str> {
        self.pinned_state().as_ref()?.stays.map(|(why, _)| why)
    }

    pub(in crate::session) fn stay(&self, why: Option<&'static str>) {
        let mut pinned = self.pinned_state();
        if why.is_none() && pinned.is_none() {
            return;
        }
        let pinned = pinned.get_or_insert_default();
        if let Some(why) = why
            && pinned.stays.is_none_or(|(before, _)| before != why)
        {
            info!(
                session = self.id, client = %self.client, database = %self.database, reason = why,
                "the session cannot move to the version in force"
            );
        }
        pinned.stays = why.map(|why| (why, Instant::now()));
    }

    /// Asks the session to move if what it holds is such, and if it was not
    /// found a moment ago that it cannot.
    pub fn signal_move(&self, such: impl FnOnce(&Held) -> bool) -> bool {
        let tried = {
            let pinned = self.pinned_state();
            let stays = pinned.as_ref().and_then(|p| p.stays);
            stays.is_some_and(|(_, at)| at.elapsed() < MOVE_AGAIN)
        };
        !tried && self.signal_holder(Signal::Move, such)
    }

    /// Notes what keeps the client where it is; the log has each reason once.
    pub(in crate::session) fn pin(&self, reason: Option<&'static str>) {
        let mut pinned = self.pinned_state();
        if reason.is_none() && pinned.is_none() {
            return;
        }
        let pinned = pinned.get_or_insert_default();
        pinned.now = reason;
        if let Some(reason) = reason
            && !pinned.told.contains(&reason)
        {
            pinned.told.push(reason);
            info!(
                session = self.id, client = %self.client, database = %self.database, reason,
                "the client keeps its server connection"
            );
        }
    }
}
