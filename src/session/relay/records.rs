//! What is recorded of a session's leases: the first use of each version, and each lease if
//! that is wanted.

use std::mem;
use std::time::Instant;

use chrono::Utc;

use crate::audit::{Audit, LeaseTotals, Record, ServerRef};
use crate::pool::Lease;
use crate::session::registry::{Handle, Traffic};

/// The server connection of a lease, as records name it.
pub fn server_ref(lease: &Lease) -> ServerRef {
    let backend = lease.backend();
    ServerRef {
        host: backend.target.host.clone(),
        port: backend.target.port,
        pid: Some(backend.pid.0),
    }
}

/// What has been recorded so far.
#[derive(Default)]
pub(super) struct Records {
    /// The numbers of generations that this session has used; each is recorded once.
    used: Vec<u64>,
    /// Where each lease is recorded, if that is wanted. Boxed, because it is rare.
    leases: Option<Box<Leases>>,
}

/// What records leases.
struct Leases {
    audit: Audit,
    /// When the lease began.
    began: Option<Instant>,
    /// What had passed by the end of the lease before.
    counted: Traffic,
}

impl Records {
    /// Has each lease recorded.
    pub fn record_leases(&mut self, audit: &Audit) {
        self.leases = Some(Box::new(Leases {
            audit: audit.clone(),
            began: None,
            counted: Traffic::default(),
        }));
    }

    /// Whether the session uses the version of this connection for the first time.
    pub fn is_first_use(&self, lease: &Lease) -> bool {
        !self.used.contains(&lease.generation.number)
    }

    /// Notes that the first use of a generation is recorded.
    pub fn note_use(&mut self, generation: u64) {
        self.used.push(generation);
    }

    pub fn lease_begins(&mut self) {
        if let Some(leases) = &mut self.leases {
            leases.began = Some(Instant::now());
        }
    }

    /// Records a lease that ends. `now`: all that has passed through the session.
    pub fn lease_ends(&mut self, lease: &Lease, handle: &Handle, now: Traffic) {
        let Some(leases) = &mut self.leases else {
            return;
        };
        let Some(began) = leases.began.take() else {
            return;
        };
        // Asked before the duration: where this thread loses its processor in between, the lease
        // seems to have begun earlier than it did, and never later than its first statement.
        let time = Utc::now();
        // What the client said while it waited for the connection is of this lease.
        let passed = now.since(mem::replace(&mut leases.counted, now));
        let totals = LeaseTotals {
            transactions: passed.transactions,
            bytes_in: passed.received,
            bytes_out: passed.sent,
            duration: began.elapsed(),
        };
        let credential = handle.pool.credential_ref(&lease.generation.credential);
        let session = handle.session_ref();
        let record = Record::lease(session, credential, server_ref(lease), totals);
        leases.audit.record_at(time, record);
    }
}
