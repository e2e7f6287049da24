//! One ceiling for two processes, while one of them is replaced by the other.
//!
//! Each process has some of the slots of a pool, and counts those of the other one as taken:
//! what both have together never exceeds the ceiling. Where clients wait, a process asks the
//! other one for slots. That one gives what it does not use, and closes a connection that is
//! idle or comes back, but not one that it has just opened: a slot that goes back and forth
//! costs a login each time.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::slots::{Slot, Use};
use super::state::State;
use super::{Connection, Pool};

/// The time for which a connection is kept at least.
const KEEP: Duration = Duration::from_millis(250);

/// What one process tells the other about a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Share {
    /// The sender wants this number of slots more.
    Want(usize),
    /// The sender gives this number of slots to the other process.
    Give(usize),
}

/// Tells the other process.
pub type Tell = Arc<dyn Fn(Share) + Send + Sync>;

pub(super) struct Sharing {
    tell: Tell,
    /// The slots that the other process has.
    lent: Vec<Slot>,
    /// The number of slots that the other process has asked for, and has not been promised.
    owed: usize,
    /// The number of slots on their way to the other process: their connections are being closed.
    promised: usize,
    /// The number of slots that this process has asked for, and has not got.
    asked: usize,
    /// This is the process that is replaced.
    old: bool,
}

impl Pool {
    /// The most server connections that it has or may have without its reserve.
    pub fn share_size(&self) -> usize {
        self.database().pool_size.max(self.state().slots.own())
    }

    /// Shares the ceiling with another process, which has `lent` of the slots already.
    pub fn share(&self, lent: usize, tell: Tell) {
        let mut state = self.state();
        let lent = (0..lent).map(|_| state.slots.take(Use::Elsewhere));
        let lent = lent.collect();
        state.sharing = Some(Box::new(Sharing {
            tell,
            lent,
            owed: 0,
            promised: 0,
            asked: 0,
            old: false,
        }));
    }

    /// This is the process that is replaced: what a reload adds to the ceiling is the other
    /// one's.
    pub fn stays_behind(&self) {
        if let Some(sharing) = &mut self.state().sharing {
            sharing.old = true;
        }
    }

    /// Gives the other process all slots that are free.
    pub fn give_free(&self) {
        let mut state = self.state();
        let free = self.free(&state);
        give_free(&mut state, free);
    }

    /// Does what the other process says.
    pub fn hear(self: &Arc<Self>, share: Share) {
        let mut state = self.state();
        let Some(sharing) = &mut state.sharing else {
            return;
        };
        match share {
            Share::Want(slots) => sharing.owed += slots,
            Share::Give(slots) => {
                sharing.asked = sharing.asked.saturating_sub(slots);
                let kept = sharing.lent.len().saturating_sub(slots);
                for slot in sharing.lent.split_off(kept) {
                    self.take_back(&mut state, slot);
                }
            }
        }
        self.give_what_is_owed(&mut state);
    }

    /// The other process is gone: its slots are free.
    pub fn share_no_more(self: &Arc<Self>) {
        let mut state = self.state();
        let Some(sharing) = state.sharing.take() else {
            return;
        };
        for slot in sharing.lent {
            self.take_back(&mut state, slot);
        }
    }

    fn take_back(self: &Arc<Self>, state: &mut State, mut slot: Slot) {
        state.slots.turn(&mut slot, Use::Closing);
        self.release_slot(state, slot);
    }

    fn free(&self, state: &State) -> usize {
        self.size_of_both(state).saturating_sub(state.slots.taken())
    }

    /// The ceiling that the two processes have together. Each has its own share of that of all
    /// replicas, if there is one.
    fn size_of_both(&self, state: &State) -> usize {
        self.database().pool_size + Self::ledger_slots(state)
    }

    /// Asks the other process for as many slots as `waiting` clients need.
    pub(super) fn ask_for_slots(&self, state: &mut State, waiting: usize) {
        let size = self.size_of_both(state);
        let State { sharing, slots, .. } = state;
        let Some(sharing) = sharing else { return };
        if size > slots.taken() {
            return; // it is no lack of slots
        }
        let there = sharing.lent.len().saturating_sub(sharing.asked);
        let more = waiting.saturating_sub(sharing.asked).min(there);
        if more > 0 {
            sharing.asked += more;
            (sharing.tell)(Share::Want(more));
        }
    }

    /// Gives the other process what it has asked for, from what nobody uses here.
    pub(super) fn give_what_is_owed(self: &Arc<Self>, state: &mut State) {
        let Some(sharing) = &state.sharing else {
            return;
        };
        let free = self.free(state).min(sharing.owed);
        give_free(state, free);
        while self.owes(state)
            && let Some(at) = state.idle.iter().position(|c| c.age() >= KEEP)
        {
            let connection = state.idle.remove(at);
            self.promise(state);
            self.retire(state, connection);
        }
    }

    fn owes(&self, state: &State) -> bool {
        state.sharing.as_ref().is_some_and(|s| s.owed > 0)
    }

    fn promise(&self, state: &mut State) {
        if let Some(sharing) = &mut state.sharing {
            sharing.owed = sharing.owed.saturating_sub(1);
            sharing.promised += 1;
        }
    }

    /// Whether a connection that comes back is closed for the other process. It has to be
    /// retired then.
    pub(super) fn is_owed(&self, state: &mut State, connection: &Connection) -> bool {
        let owed = self.owes(state) && connection.age() >= KEEP;
        if owed {
            self.promise(state);
        }
        owed
    }

    /// Gives a slot that has become free to the other process, if it is promised, or asked for
    /// and needed by nobody here.
    pub(super) fn pass_slot(&self, state: &mut State, slot: Slot) -> Option<Slot> {
        let needed = !state.waiters.is_empty() || state.slot_wanted.is_some();
        let Some(sharing) = &mut state.sharing else {
            return Some(slot);
        };
        let count = match (sharing.promised, sharing.owed) {
            (0, 0) => return Some(slot),
            (0, _) if needed => return Some(slot),
            (0, _) => &mut sharing.owed,
            _ => &mut sharing.promised,
        };
        *count -= 1;
        give(state, slot);
        None
    }
}

impl State {
    /// Does what a new ceiling asks for.
    pub(super) fn ceiling_changed(&mut self, before: usize, now: usize) {
        let Some(sharing) = self.sharing.as_mut().filter(|s| s.old) else {
            return;
        };
        let gone = before.saturating_sub(now);
        let kept = sharing.lent.len().saturating_sub(gone);
        for slot in sharing.lent.split_off(kept) {
            self.slots.free(slot);
        }
        for _ in before..now {
            sharing.lent.push(self.slots.take(Use::Elsewhere));
        }
    }
}

fn give_free(state: &mut State, slots: usize) {
    for _ in 0..slots {
        let slot = state.slots.take(Use::Elsewhere);
        if let Some(sharing) = &mut state.sharing {
            sharing.owed = sharing.owed.saturating_sub(1);
        }
        give(state, slot);
    }
}

fn give(state: &mut State, mut slot: Slot) {
    state.slots.turn(&mut slot, Use::Elsewhere);
    match &mut state.sharing {
        Some(sharing) => {
            sharing.lent.push(slot);
            (sharing.tell)(Share::Give(1));
        }
        None => state.slots.free(slot),
    }
}
