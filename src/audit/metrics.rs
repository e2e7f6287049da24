//! What the audit log measures.

use crate::metrics::{Counter, Family};

pub(super) const RECORDS: Family<Counter, 0> =
    Family::new("pgvalet_audit_records_total", "Audit records written.", []);

pub(super) const FAILURES: Family<Counter, 0> = Family::new(
    "pgvalet_audit_failures_total",
    "Audit records that could not be written.",
    [],
);
