//! The protocol of a pool as a model: who has which slot, who waits, which generation is in
//! force, and what the prober and the replacer are about. Its actions carry the names of the
//! functions of the pool, one for each piece that runs under the pool's lock. Times are left
//! out: whatever waits for a time may happen at once.
//!
//! Every interleaving of a small pool is explored (`explored`), and the pool itself is taken
//! through traces of the model (`replay`).

mod steps;

use super::explore::Model;
use crate::pool::slots::Use;
use steps::retire;

pub type Client = u8;

/// In the queue, one that has left; it is forgotten when it is met.
pub const GONE: Client = Client::MAX;
pub type Generation = u8;

/// Whose login it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Errand {
    /// `open_and_put`.
    Waiter,
    /// `probe`, or `retry_down`.
    Prober,
    /// `replace_idle`, for one that is closed before or afterwards.
    Replacer,
}

/// What follows a goodbye.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Then {
    Free,
    /// `hand_over_slot`.
    HandOver,
    /// `replace_idle`: another login in its slot.
    Reopen,
    /// `replace_idle`, whose new connection comes first.
    AfterLogin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Doing {
    Opening(Errand),
    Idle,
    Leased(Client),
    Closing(Then),
    Abandoned,
}

impl Doing {
    pub fn purpose(self) -> Use {
        match self {
            Self::Opening(_) => Use::Opening,
            Self::Idle => Use::Idle,
            Self::Leased(_) => Use::Leased,
            Self::Closing(_) => Use::Closing,
            Self::Abandoned => Use::Abandoned,
        }
    }
}

/// A slot with what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot {
    pub doing: Doing,
    pub generation: Generation,
    /// The server has not hung up.
    pub alive: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Prober {
    Rests,
    /// It waits for a slot (`slot_wanted`, until that is taken) for a login with this version.
    Waits {
        wanted: bool,
        version: Generation,
    },
    LogsIn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Replacer {
    Rests,
    /// The connection of the probe takes the place of the first one.
    Begins,
    GoesOn,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// In the order in which they became what they are: the idle ones, the hottest last.
    pub slots: Vec<Slot>,
    pub waiting: Vec<Client>,
    pub in_force: Generation,
    /// The version of the store.
    pub current: Generation,
    pub up: bool,
    /// The search says that the server is down.
    pub down: bool,
    pub prober: Prober,
    pub replacer: Replacer,
}

/// What happens. Those of the world come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    TakeOrWait(Client),
    Leave(Client),
    GiveBack(Client),
    Discard(Client),
    HangUp,
    GoDown,
    ComeBack,
    NewVersion,
    /// The login in this slot takes too long: `keep_slots`.
    Abandon(usize),
    /// The server has let go of it.
    Gone(usize),
    /// `login` ends, as it can.
    Login(usize),
    /// `close` ends.
    Close(usize),
    /// `take_slot` for a probe, or for `retry_down`.
    TakeSlot,
    /// It has waited for a slot for too long.
    SlotWait,
    ReplaceIdle,
    Sweep,
}

impl Action {
    /// Whether the pool does it by itself.
    pub fn is_own(self) -> bool {
        matches!(
            self,
            Self::Gone(_)
                | Self::Login(_)
                | Self::Close(_)
                | Self::TakeSlot
                | Self::SlotWait
                | Self::ReplaceIdle
                | Self::Sweep
        )
    }
}

pub struct Protocol {
    pub pool_size: usize,
    pub clients: Client,
    pub versions: Generation,
    /// Connections that may be away at a time because a new generation takes over.
    pub at_once: usize,
    /// Logins may take too long, one at a time.
    pub stalls: bool,
    /// So many in the queue may have left.
    pub leavers: usize,
}

impl State {
    pub fn count(&self, is: impl Fn(Doing) -> bool) -> usize {
        self.slots.iter().filter(|slot| is(slot.doing)).count()
    }

    fn opening(&self) -> usize {
        self.count(|d| matches!(d, Doing::Opening(_)))
    }

    pub fn abandoned(&self) -> usize {
        self.count(|d| d == Doing::Abandoned)
    }

    pub fn leased(&self) -> usize {
        self.count(|d| matches!(d, Doing::Leased(_)))
    }

    pub fn waits(&self) -> bool {
        self.waiting.iter().any(|client| *client != GONE)
    }

    fn gone(&self) -> usize {
        self.waiting
            .iter()
            .filter(|client| **client == GONE)
            .count()
    }

    pub fn holds(&self, client: Client) -> Option<usize> {
        let held = |slot: &Slot| slot.doing == Doing::Leased(client);
        self.slots.iter().position(held)
    }

    fn first_idle(&self, is: impl Fn(&Slot) -> bool) -> Option<usize> {
        let mut slots = self.slots.iter();
        slots.position(|slot| slot.doing == Doing::Idle && is(slot))
    }

    fn is_old(&self, slot: &Slot) -> bool {
        slot.generation != self.in_force
    }

    /// All that can be done is done, and everybody is served.
    pub fn is_at_rest(&self) -> bool {
        let fine = |s: &Slot| s.doing == Doing::Idle && s.alive && !self.is_old(s);
        self.waiting.is_empty()
            && self.slots.iter().all(fine)
            && self.in_force == self.current
            && !self.down
            && self.prober == Prober::Rests
            && self.replacer == Replacer::Rests
    }

    fn start_replacing(&mut self) {
        if self.replacer == Replacer::Rests {
            self.replacer = Replacer::Begins;
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    /// One connection is idle, as after a start.
    fn first(&self) -> State {
        State {
            slots: vec![Slot {
                doing: Doing::Idle,
                generation: 1,
                alive: true,
            }],
            waiting: Vec::new(),
            in_force: 1,
            current: 1,
            up: true,
            down: false,
            prober: Prober::Rests,
            replacer: Replacer::Rests,
        }
    }

    fn actions(&self, s: &State) -> Vec<Action> {
        let mut may = Vec::new();
        for client in 0..self.clients {
            if s.holds(client).is_some() {
                may.extend([Action::GiveBack(client), Action::Discard(client)]);
            } else if s.waiting.contains(&client) {
                if s.gone() < self.leavers {
                    may.push(Action::Leave(client));
                }
            } else {
                may.push(Action::TakeOrWait(client));
            }
        }
        may.push(if s.up {
            Action::GoDown
        } else {
            Action::ComeBack
        });
        may.push(Action::HangUp);
        if s.current < self.versions {
            may.push(Action::NewVersion);
        }
        for (at, slot) in s.slots.iter().enumerate() {
            match slot.doing {
                Doing::Opening(_) => {
                    may.push(Action::Login(at));
                    if self.stalls && s.abandoned() == 0 {
                        may.push(Action::Abandon(at));
                    }
                }
                Doing::Closing(Then::AfterLogin) => {}
                Doing::Closing(_) => may.push(Action::Close(at)),
                Doing::Abandoned => may.push(Action::Gone(at)),
                Doing::Idle | Doing::Leased(_) => {}
            }
        }
        match s.prober {
            Prober::Rests if s.current != s.in_force || s.down => may.push(Action::TakeSlot),
            Prober::Waits { .. } => may.push(Action::SlotWait),
            Prober::Rests | Prober::LogsIn => {}
        }
        if s.replacer != Replacer::Rests && !self.is_replacing_one(s) {
            may.push(Action::ReplaceIdle);
        }
        let dead = s.first_idle(|slot| !slot.alive).is_some();
        let old = s.first_idle(|slot| s.is_old(slot)).is_some();
        let gone = s.waiting.contains(&GONE);
        if dead || gone || (old && !s.down && s.replacer == Replacer::Rests) {
            may.push(Action::Sweep);
        }
        may
    }

    fn next(&self, state: &State, action: &Action) -> State {
        let mut s = state.clone();
        match *action {
            Action::TakeOrWait(client) => self.take_or_wait(&mut s, client),
            Action::Leave(client) => {
                if let Some(place) = s.waiting.iter_mut().find(|waits| **waits == client) {
                    *place = GONE;
                }
            }
            Action::GiveBack(client) => {
                if let Some(at) = s.holds(client) {
                    self.put(&mut s, at);
                }
            }
            Action::Discard(client) => {
                if let Some(at) = s.holds(client) {
                    retire(&mut s, at);
                }
            }
            Action::HangUp => s.slots.iter_mut().for_each(|slot| slot.alive = false),
            Action::GoDown => s.up = false,
            Action::ComeBack => s.up = true,
            Action::NewVersion => s.current += 1,
            Action::Abandon(at) => {
                let generation = s.slots[at].generation;
                let doing = Doing::Abandoned;
                s.slots.push(Slot {
                    doing,
                    generation,
                    alive: false,
                });
                self.login_failed(&mut s, at);
            }
            Action::Gone(at) => self.release_slot(&mut s, at),
            Action::Login(at) if s.up => self.logged_in(&mut s, at),
            Action::Login(at) => self.login_failed(&mut s, at),
            Action::Close(at) => self.closed(&mut s, at),
            Action::TakeSlot => self.take_slot(&mut s),
            Action::SlotWait => self.slot_wait(&mut s),
            Action::ReplaceIdle => self.replace_idle(&mut s),
            Action::Sweep => self.sweep(&mut s),
        }
        s
    }
}
