//! What a session was asked for: each signal is a bit of its own, so that to forget one
//! loses no other.

use std::sync::atomic::{AtomicU16, Ordering};

use super::Signal;

/// From the weakest to the strongest.
const ALL: [Signal; 11] = [
    Signal::Move,
    Signal::Cancel,
    Signal::IdleClient,
    Signal::IdleInTransaction,
    Signal::DrainDeadline,
    Signal::Revoked,
    Signal::Shutdown,
    Signal::DrainNow,
    Signal::QueryTimeout,
    Signal::RevokedNow,
    Signal::Kill,
];

#[derive(Default)]
pub(super) struct Signals(AtomicU16);

fn bit(signal: Signal) -> u16 {
    match signal {
        Signal::None => 0,
        signal => 1 << (signal as u16 - 1),
    }
}

impl Signals {
    pub fn new(signal: Signal) -> Self {
        Self(AtomicU16::new(bit(signal)))
    }

    /// `true` if nothing as strong was there before.
    pub fn raise(&self, signal: Signal) -> bool {
        self.0.fetch_or(bit(signal), Ordering::AcqRel) < bit(signal)
    }

    /// The strongest of those that are there.
    pub fn strongest(&self) -> Signal {
        let bits = self.0.load(Ordering::Acquire);
        let highest = bits.checked_ilog2().and_then(|n| ALL.get(n as usize));
        highest.copied().unwrap_or(Signal::None)
    }

    pub fn forget(&self, signal: Signal) {
        self.0.fetch_and(!bit(signal), Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signal_comes_and_goes_by_itself() {
        let signals = Signals::default();
        assert_eq!(signals.strongest(), Signal::None);
        for signal in ALL {
            assert!(signals.raise(signal), "{signal:?}");
            assert!(!signals.raise(signal));
            assert_eq!(signals.strongest(), signal);
        }
        assert!(!signals.raise(Signal::Move), "a stronger one is there");
        for signal in ALL.into_iter().rev() {
            assert_eq!(signals.strongest(), signal);
            signals.forget(signal);
        }
        assert_eq!(signals.strongest(), Signal::None);
    }

    /// A revocation is not lost with a drain that came after it and was over first.
    #[test]
    fn what_is_forgotten_uncovers_what_came_before() {
        let signals = Signals::new(Signal::Revoked);
        assert!(signals.raise(Signal::DrainNow));
        signals.forget(Signal::DrainNow);
        assert_eq!(signals.strongest(), Signal::Revoked);
    }
}
