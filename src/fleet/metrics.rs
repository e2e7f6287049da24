//! What a fleet measures.

use std::sync::Arc;

use crate::metrics::{Counter, Family, Metrics};

const CANCELS: Family<Counter, 2> = Family::new(
    "pgvalet_fleet_cancels_total",
    "Cancel requests between replicas, by direction and outcome.",
    ["direction", "outcome"],
);

/// What became of a cancel request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has landed.
    Landed,
    /// There was no such session.
    Unknown,
    /// The other replica could not be reached, or did not answer in time.
    Unreachable,
    /// The other side does not have the key of the fleet.
    Refused,
    /// Too many were under way.
    Busy,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Landed => "landed",
            Self::Unknown => "unknown",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Busy => "busy",
        }
    }
}

pub(super) struct FleetMetrics(pub Arc<Metrics>);

impl FleetMetrics {
    pub fn sent(&self, outcome: Outcome) {
        self.count("sent", outcome);
    }

    pub fn received(&self, outcome: Outcome) {
        self.count("received", outcome);
    }

    fn count(&self, direction: &'static str, outcome: Outcome) {
        self.0
            .series(&CANCELS, [direction, outcome.name()])
            .increment(1);
    }
}
