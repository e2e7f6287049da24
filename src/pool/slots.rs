//! The server connections that count against `pool_size`.
//!
//! A [`Slot`] is taken before a login begins and freed when Postgres has let go
//! of the connection. In between it travels with the login, with the connection
//! and with its goodbye, so that each is counted once, under what it is used
//! for now.

/// What a slot is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// A login is under way, or about to begin.
    Opening,
    /// A connection that nobody holds.
    Idle,
    /// A connection that is held: by a client, by pgvalet, or to be cleaned.
    Leased,
    /// A connection that says goodbye.
    Closing,
    /// What is left of a login that took too long; see `abandoned`.
    Abandoned,
    /// Another process has the slot; see `share`.
    Elsewhere,
}

/// A slot that is taken. Only [`Slots::free`] may end it: a slot that is dropped is
/// lost to the pool.
#[derive(Debug)]
#[must_use = "a slot that is dropped is lost to the pool"]
pub(super) struct Slot(Use);

/// How many slots are used for what.
#[derive(Debug, Default)]
pub(super) struct Slots {
    opening: usize,
    idle: usize,
    leased: usize,
    closing: usize,
    abandoned: usize,
    elsewhere: usize,
}

impl Slots {
    /// Takes one more slot. Whether the ceiling allows it is the caller's concern.
    pub fn take(&mut self, purpose: Use) -> Slot {
        *self.count_mut(purpose) += 1;
        Slot(purpose)
    }

    /// Uses a slot for something else.
    pub fn turn(&mut self, slot: &mut Slot, purpose: Use) {
        *self.count_mut(slot.0) -= 1;
        *self.count_mut(purpose) += 1;
        slot.0 = purpose;
    }

    /// Ends a slot.
    pub fn free(&mut self, slot: Slot) {
        *self.count_mut(slot.0) -= 1;
    }

    /// The number of slots that are taken. That is no more than `pool_size` and what the reserve
    /// adds, but for abandoned logins at another of several hosts or addresses.
    pub fn taken(&self) -> usize {
        self.own() + self.elsewhere
    }

    /// The slots that are not in another process.
    pub fn own(&self) -> usize {
        self.opening + self.idle + self.leased + self.closing + self.abandoned
    }

    /// The number of connections that are there or come, and are to stay.
    pub fn staying(&self) -> usize {
        self.opening + self.idle + self.leased
    }

    pub fn opening(&self) -> usize {
        self.opening
    }

    pub fn leased(&self) -> usize {
        self.leased
    }

    pub fn closing(&self) -> usize {
        self.closing
    }

    pub fn abandoned(&self) -> usize {
        self.abandoned
    }

    fn count_mut(&mut self, purpose: Use) -> &mut usize {
        match purpose {
            Use::Opening => &mut self.opening,
            Use::Idle => &mut self.idle,
            Use::Leased => &mut self.leased,
            Use::Closing => &mut self.closing,
            Use::Abandoned => &mut self.abandoned,
            Use::Elsewhere => &mut self.elsewhere,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_counts_once_under_what_it_is_used_for() {
        let mut slots = Slots::default();
        let mut one = slots.take(Use::Opening);
        let other = slots.take(Use::Abandoned);
        slots.turn(&mut one, Use::Leased);
        assert_eq!((slots.opening(), slots.leased(), slots.taken()), (0, 1, 2));
        slots.turn(&mut one, Use::Leased);
        assert_eq!((slots.leased(), slots.abandoned()), (1, 1));
        slots.free(other);
        slots.free(one);
        assert_eq!(slots.taken(), 0);
    }
}
