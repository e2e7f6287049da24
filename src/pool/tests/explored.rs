//! What holds in every state that the model of the protocol can come to.

use super::explore::{Explored, Model};
use super::protocol::{Action, Doing, Prober, Protocol, State};
use crate::pool::slots::{Slots, Use};

/// Of the slots, all but those of abandoned logins fit under the ceiling.
fn check(model: &Protocol, s: &State) -> Result<(), String> {
    let taken = s.slots.len();
    if taken > model.pool_size + s.abandoned() {
        return Err(format!("{taken} slots"));
    }
    for client in 0..model.clients {
        let held = s.count(|d| d == Doing::Leased(client));
        let waits = s.waiting.iter().filter(|waits| **waits == client).count();
        if held + waits > 1 {
            return Err(format!(
                "client {client} holds {held}, and waits {waits} times"
            ));
        }
    }
    let usable = |slot: &&super::protocol::Slot| slot.doing == Doing::Idle && slot.alive;
    if s.waits() && s.slots.iter().any(|slot| usable(&slot)) {
        return Err("somebody waits beside an idle connection".to_owned());
    }
    let logs_in = s.count(|d| d == Doing::Opening(super::protocol::Errand::Prober));
    if logs_in != usize::from(s.prober == Prober::LogsIn) {
        return Err(format!("{logs_in} logins of the prober"));
    }
    counted(s)
}

/// The pool's own accounts say the same.
fn counted(s: &State) -> Result<(), String> {
    let mut slots = Slots::default();
    let mut all = Vec::new();
    for slot in &s.slots {
        let mut counted = slots.take(Use::Opening);
        slots.turn(&mut counted, slot.doing.purpose());
        all.push(counted);
    }
    let found = (slots.leased(), slots.abandoned(), slots.taken());
    let expected = (s.leased(), s.abandoned(), s.slots.len());
    all.into_iter().for_each(|slot| slots.free(slot));
    match found == expected && slots.taken() == 0 {
        true => Ok(()),
        false => Err(format!("{found:?}, not {expected:?}")),
    }
}

fn explore(model: &Protocol) -> Explored<Protocol> {
    let all = Explored::explore(model, |state| check(model, state));
    // A server that is up again, and clients that give back what they hold: everybody is
    // served, the version of the store is in force, and nothing older is left.
    all.reach("everything comes to rest", State::is_at_rest, |action| {
        action.is_own() || matches!(action, Action::GiveBack(_) | Action::ComeBack)
    });
    // Nobody waits for others to do something where the ceiling has room.
    let served = |s: &State| !s.waits() || s.leased() >= model.pool_size || !s.up;
    all.reach("who waits is served", served, |action| action.is_own());
    // Nothing older is lent for ever: what is idle is replaced, whoever holds the others.
    let replaced = |s: &State| {
        let mut idle = s.slots.iter().filter(|slot| slot.doing == Doing::Idle);
        !s.up || idle.all(|slot| slot.generation == s.current)
    };
    all.reach(
        "what is idle is of the version in force",
        replaced,
        |action| action.is_own(),
    );
    all
}

fn explore_all(sizes: &[(usize, u8, u8)]) -> usize {
    let mut states = 0;
    for &(pool_size, clients, versions) in sizes {
        for at_once in [1, 4] {
            for stalls in [false, true] {
                let model = Protocol {
                    pool_size,
                    clients,
                    versions,
                    at_once,
                    stalls,
                    leavers: 1,
                };
                let explored = explore(&model).states.len();
                println!(
                    "{pool_size} slots, {clients} clients, {versions} versions: {explored} states"
                );
                states += explored;
            }
        }
    }
    states
}

#[test]
fn nobody_is_lost_in_any_interleaving() {
    assert!(explore_all(&[(1, 2, 2), (2, 2, 2)]) > 1_000);
}

/// `make chaos`.
#[test]
#[ignore = "takes minutes, and gigabytes"]
fn nobody_is_lost_in_any_interleaving_at_length() {
    assert!(explore_all(&[(1, 3, 3), (2, 3, 2), (2, 2, 3), (3, 2, 2)]) > 100_000);
}

/// The explorer finds what it is for: a pool that forgets those who wait when a slot is freed.
#[test]
#[should_panic(expected = "who waits is served")]
fn a_waiter_who_is_lost_is_found() {
    struct Forgets(Protocol);

    impl Model for Forgets {
        type State = State;
        type Action = Action;

        fn first(&self) -> State {
            self.0.first()
        }

        fn actions(&self, state: &State) -> Vec<Action> {
            self.0.actions(state)
        }

        fn next(&self, state: &State, action: &Action) -> State {
            let mut next = self.0.next(state, action);
            if let Action::Close(_) = action {
                let opened = |s: &State| s.count(|d| matches!(d, Doing::Opening(_)));
                while opened(&next) > opened(state) {
                    next.slots.pop();
                }
            }
            next
        }
    }

    let model = Forgets(Protocol {
        pool_size: 1,
        clients: 2,
        versions: 1,
        at_once: 1,
        stalls: false,
        leavers: 1,
    });
    let all = Explored::explore(&model, |_| Ok(()));
    let served = |s: &State| !s.waits() || s.leased() > 0 || !s.up;
    all.reach("who waits is served", served, |action| action.is_own());
}
