//! Requests to a session, from the weakest to the strongest.
//!
//! Each request is a bit of its own, so that forgetting one loses no other.

use std::sync::atomic::{AtomicU16, Ordering};

use crate::wire::ClientError;

/// Asks a session to do something besides relaying. A stronger signal is heard before a
/// weaker one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Move to a connection of the generation in force.
    Move,
    /// Go on in the process that replaces this one.
    Depart,
    /// Stop waiting for a server connection: the client sent a cancel.
    Cancel,
    /// End, because the client has been silent for too long outside a transaction.
    IdleClient,
    /// End, because the client has been silent for too long inside a transaction.
    IdleInTransaction,
    /// End, because the generation it holds is overdue.
    DrainDeadline,
    /// End, because its access has ended.
    Revoked,
    /// End, because the proxy is shutting down.
    Shutdown,
    /// End, because the generation it holds is long overdue.
    DrainNow,
    /// End, because a query that took too long could not be cancelled.
    QueryTimeout,
    /// End, because its access has ended (`[listen] revoke = "now"`).
    RevokedNow,
    /// End without a reason of its own.
    Kill,
}

/// When a session acts on a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum Urgency {
    /// The session acts while it waits for a server connection; at any other time the signal comes
    /// too late.
    Waiting,
    /// The session acts if the client is still silent; otherwise the signal came too late.
    Silent,
    /// The session acts between transactions.
    AtRest,
    /// The session acts at once.
    Now,
}

impl Signal {
    /// All signals in the order of their bits.
    const ALL: [Self; 12] = [
        Self::Move,
        Self::Depart,
        Self::Cancel,
        Self::IdleClient,
        Self::IdleInTransaction,
        Self::DrainDeadline,
        Self::Revoked,
        Self::Shutdown,
        Self::DrainNow,
        Self::QueryTimeout,
        Self::RevokedNow,
        Self::Kill,
    ];

    /// When a session acts on this signal.
    pub(in crate::session) fn urgency(self) -> Urgency {
        match self {
            Self::Cancel => Urgency::Waiting,
            Self::IdleClient | Self::IdleInTransaction => Urgency::Silent,
            Self::Move | Self::Depart | Self::DrainDeadline | Self::Revoked | Self::Shutdown => {
                Urgency::AtRest
            }
            Self::DrainNow | Self::QueryTimeout | Self::RevokedNow | Self::Kill => Urgency::Now,
        }
    }

    /// What the client is told when the signal ends its session.
    pub(in crate::session) fn farewell(self) -> ClientError {
        match self {
            Self::DrainDeadline | Self::DrainNow => ClientError::DrainDeadline,
            Self::Revoked | Self::RevokedNow => ClientError::Revoked,
            Self::IdleClient => ClientError::IdleClient,
            Self::IdleInTransaction => ClientError::IdleInTransaction,
            Self::QueryTimeout => ClientError::QueryTimeout,
            // The first three end no session.
            Self::Move | Self::Depart | Self::Cancel | Self::Shutdown | Self::Kill => {
                ClientError::ShuttingDown
            }
        }
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// The signals that a session has not acted on yet.
#[derive(Default)]
pub(super) struct Signals(AtomicU16);

impl Signals {
    pub fn new(signal: Option<Signal>) -> Self {
        Self(AtomicU16::new(signal.map_or(0, Signal::bit)))
    }

    /// Adds a signal; `true` if none as strong was there before.
    pub fn raise(&self, signal: Signal) -> bool {
        self.0.fetch_or(signal.bit(), Ordering::AcqRel) < signal.bit()
    }

    pub fn strongest(&self) -> Option<Signal> {
        let bits = self.0.load(Ordering::Acquire);
        let highest = bits.checked_ilog2()?;
        Signal::ALL.get(highest as usize).copied()
    }

    pub fn forget(&self, signal: Signal) {
        self.0.fetch_and(!signal.bit(), Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signal_comes_and_goes_by_itself() {
        let signals = Signals::default();
        assert_eq!(signals.strongest(), None);
        for signal in Signal::ALL {
            assert!(signals.raise(signal), "{signal:?}");
            assert!(!signals.raise(signal));
            assert_eq!(signals.strongest(), Some(signal));
        }
        assert!(!signals.raise(Signal::Move), "a stronger one is there");
        for signal in Signal::ALL.into_iter().rev() {
            assert_eq!(signals.strongest(), Some(signal));
            signals.forget(signal);
        }
        assert_eq!(signals.strongest(), None);
    }

    /// A revocation is not lost with a drain that came after it and was over first.
    #[test]
    fn what_is_forgotten_uncovers_what_came_before() {
        let signals = Signals::new(Some(Signal::Revoked));
        assert!(signals.raise(Signal::DrainNow));
        signals.forget(Signal::DrainNow);
        assert_eq!(signals.strongest(), Some(Signal::Revoked));
    }
}
