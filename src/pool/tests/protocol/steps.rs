//! What each action of the model does: the functions of the pool, without their clocks, sockets
//! and records.

use super::{Client, Doing, Errand, GONE, Prober, Protocol, Replacer, Slot, State, Then};

/// Gives a slot another use; it becomes the last one, as in the list of idle connections.
fn turn(s: &mut State, at: usize, doing: Doing) -> usize {
    let slot = s.slots.remove(at);
    s.slots.push(Slot { doing, ..slot });
    s.slots.len() - 1
}

pub(super) fn retire(s: &mut State, at: usize) {
    turn(s, at, Doing::Closing(Then::Free));
}

impl Protocol {
    pub(super) fn is_replacing_one(&self, s: &State) -> bool {
        s.count(|d| {
            matches!(
                d,
                Doing::Opening(Errand::Replacer) | Doing::Closing(Then::Reopen | Then::AfterLogin)
            )
        }) > 0
    }

    fn may_open(&self, s: &State) -> bool {
        s.slots.len() < self.pool_size
    }

    fn open(&self, s: &mut State, errand: Errand) {
        let generation = match errand {
            Errand::Prober => s.current,
            _ => s.in_force,
        };
        let doing = Doing::Opening(errand);
        s.slots.push(Slot {
            doing,
            generation,
            alive: true,
        });
    }

    pub(super) fn take_or_wait(&self, s: &mut State, client: Client) {
        while s.waiting.is_empty() {
            let hottest = s.slots.iter().rposition(|slot| slot.doing == Doing::Idle);
            let Some(at) = hottest else { break };
            if s.slots[at].alive {
                turn(s, at, Doing::Leased(client));
                return;
            }
            retire(s, at);
        }
        s.waiting.push(client);
        self.open_for_waiters(s);
    }

    fn open_for_waiters(&self, s: &mut State) {
        while !s.down && s.opening() < s.waiting.len() && self.may_open(s) {
            self.open(s, Errand::Waiter);
        }
    }

    pub(super) fn put(&self, s: &mut State, at: usize) {
        if let Prober::Waits { wanted, .. } = &mut s.prober
            && std::mem::take(wanted)
        {
            turn(s, at, Doing::Closing(Then::HandOver));
            return;
        }
        let away = s.count(|d| matches!(d, Doing::Closing(_) | Doing::Opening(_)));
        let slot = s.slots[at];
        let itself = matches!(slot.doing, Doing::Opening(_) | Doing::Closing(_));
        let away = away - usize::from(itself);
        let replaced = s.is_old(&slot) && !s.down && away < self.at_once;
        let surplus = s.waiting.is_empty() && s.slots.len() > self.pool_size;
        if !slot.alive || replaced || surplus {
            retire(s, at);
            return self.open_for_waiters(s);
        }
        while !s.waiting.is_empty() {
            let client = s.waiting.remove(0);
            if client != GONE {
                turn(s, at, Doing::Leased(client));
                return;
            }
        }
        turn(s, at, Doing::Idle);
        if s.is_old(&slot) && !s.down {
            s.start_replacing();
        }
    }

    /// What was opened for nobody in particular is kept if somebody has a use for it.
    fn put_if_used(&self, s: &mut State, at: usize) {
        let staying = s.count(|d| !matches!(d, Doing::Closing(_) | Doing::Abandoned));
        if !s.waiting.is_empty() || staying > 1 {
            self.put(s, at);
        } else {
            retire(s, at);
        }
    }

    pub(super) fn logged_in(&self, s: &mut State, at: usize) {
        let Doing::Opening(errand) = s.slots[at].doing else {
            return;
        };
        match errand {
            Errand::Waiter => {
                self.put(s, at);
                self.open_for_waiters(s);
            }
            Errand::Prober => self.adopt(s, at),
            Errand::Replacer => {
                self.put(s, at);
                self.open_for_waiters(s);
                let old = Doing::Closing(Then::AfterLogin);
                if let Some(at) = s.slots.iter().position(|slot| slot.doing == old) {
                    s.slots[at].doing = Doing::Closing(Then::Free);
                }
            }
        }
    }

    fn adopt(&self, s: &mut State, at: usize) {
        let generation = s.slots[at].generation;
        let new = generation > s.in_force;
        s.prober = Prober::Rests;
        s.down = false;
        s.in_force = generation;
        self.put_if_used(s, at);
        self.open_for_waiters(s);
        if new {
            s.start_replacing();
        }
    }

    pub(super) fn login_failed(&self, s: &mut State, at: usize) {
        let slot = s.slots[at];
        let Doing::Opening(errand) = slot.doing else {
            return;
        };
        if errand == Errand::Prober {
            s.prober = Prober::Rests;
        }
        s.down |= !s.is_old(&slot);
        self.release_slot(s, at);
        let old = Doing::Closing(Then::AfterLogin);
        if errand == Errand::Replacer {
            s.replacer = Replacer::Rests;
            if let Some(at) = s.slots.iter().position(|slot| slot.doing == old) {
                self.put(s, at);
            }
        }
    }

    pub(super) fn closed(&self, s: &mut State, at: usize) {
        let doing = s.slots[at].doing;
        match doing {
            Doing::Closing(Then::HandOver) if self.hand_to_prober(s, at) => {}
            Doing::Closing(Then::Reopen) if s.slots.len() <= self.pool_size => {
                let at = turn(s, at, Doing::Opening(Errand::Replacer));
                s.slots[at].generation = s.in_force;
                s.slots[at].alive = true;
            }
            _ => self.release_slot(s, at),
        }
    }

    /// Whether the prober still waits for a slot.
    fn hand_to_prober(&self, s: &mut State, at: usize) -> bool {
        let Prober::Waits { version, .. } = s.prober else {
            return false;
        };
        s.prober = Prober::LogsIn;
        let at = turn(s, at, Doing::Opening(Errand::Prober));
        s.slots[at].generation = version;
        s.slots[at].alive = true;
        true
    }

    pub(super) fn release_slot(&self, s: &mut State, at: usize) {
        let spare = s.slots.len() <= self.pool_size;
        let wanted = matches!(s.prober, Prober::Waits { wanted: true, .. });
        if spare && wanted && self.hand_to_prober(s, at) {
            return;
        }
        s.slots.remove(at);
        self.open_for_waiters(s);
    }

    pub(super) fn take_slot(&self, s: &mut State) {
        if s.slots.len() < self.pool_size {
            s.prober = Prober::LogsIn;
            return self.open(s, Errand::Prober);
        }
        if s.abandoned() > 0 {
            return; // tried again later
        }
        s.prober = Prober::Waits {
            wanted: true,
            version: s.current,
        };
        if let Some(coldest) = s.first_idle(|_| true) {
            self.put(s, coldest);
        }
    }

    pub(super) fn slot_wait(&self, s: &mut State) {
        s.prober = Prober::Rests;
        // `retry_down`: the pool is full, so the server is there after all.
        if s.down && s.current == s.in_force && s.abandoned() == 0 {
            s.down = false;
            self.open_for_waiters(s);
        }
    }

    pub(super) fn replace_idle(&self, s: &mut State) {
        let old = s.first_idle(|slot| s.is_old(slot));
        let Some(at) = old.filter(|_| !s.down) else {
            s.replacer = Replacer::Rests;
            return;
        };
        let begins = std::mem::replace(&mut s.replacer, Replacer::GoesOn) == Replacer::Begins;
        if begins {
            retire(s, at);
        } else if self.may_open(s) {
            turn(s, at, Doing::Closing(Then::AfterLogin));
            self.open(s, Errand::Replacer);
        } else {
            turn(s, at, Doing::Closing(Then::Reopen));
        }
    }

    pub(super) fn sweep(&self, s: &mut State) {
        while let Some(at) = s.first_idle(|slot| !slot.alive) {
            retire(s, at);
        }
        let old = s.first_idle(|slot| s.is_old(slot)).is_some();
        if old && !s.down {
            s.start_replacing();
        }
        s.waiting.retain(|client| *client != GONE);
    }
}
