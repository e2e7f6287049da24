//! What the audit log measures.

use crate::metrics::{Counter, Family, Gauge};

pub(super) const RECORDS: Family<Counter, 0> =
    Family::new("pgvalet_audit_records_total", "Audit records written.", []);

pub(super) const FAILURES: Family<Counter, 0> = Family::new(
    "pgvalet_audit_failures_total",
    "Audit records that could not be written.",
    [],
);

pub(super) const SINK_RECORDS: Family<Counter, 1> = Family::new(
    "pgvalet_audit_sink_records_total",
    "Audit records that a sink has taken.",
    ["sink"],
);

pub(super) const SINK_FAILURES: Family<Counter, 1> = Family::new(
    "pgvalet_audit_sink_failures_total",
    "Attempts to send audit records to a sink that failed.",
    ["sink"],
);

pub(super) const SINK_LAG: Family<Gauge, 1> = Family::new(
    "pgvalet_audit_sink_lag_records",
    "Audit records that a sink has not taken yet.",
    ["sink"],
);
