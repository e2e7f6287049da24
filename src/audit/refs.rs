//! What the constructors of records are told: clients, sessions, causes.

use std::sync::Arc;
use std::time::Duration;

use super::parts::{IdentityRef, UseRef};

/// What is known of a client when it is let in or denied.
#[derive(Debug, Clone, Default)]
pub struct ClientRef {
    /// Its address.
    pub source: Arc<str>,
    /// The load balancer that named the address.
    pub via: Option<Arc<str>>,
    pub identity: Option<Arc<IdentityRef>>,
    pub database: Option<Arc<str>>,
    pub requested_user: Option<Arc<str>>,
    pub application_name: Option<Arc<str>>,
    pub tls: Option<Arc<str>>,
    /// The short name of its denial, which it was shown.
    pub reference: Option<Arc<str>>,
    /// Name and number of the rule that let it in.
    pub rule: Option<(Arc<str>, usize)>,
}

/// The session that something happened in.
#[derive(Debug, Clone)]
pub struct SessionRef {
    pub id: Arc<str>,
    pub client: Arc<str>,
    pub source: Arc<str>,
    pub via: Option<Arc<str>>,
    pub database: Arc<str>,
}

/// What a session was, told at its end.
#[derive(Debug, Clone, Default)]
pub struct SessionTotals {
    pub transactions: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub duration: Duration,
    /// What each version was used for since the last summary.
    pub uses: Vec<UseRef>,
}

/// What passed through one lease.
#[derive(Debug, Clone, Copy, Default)]
pub struct LeaseTotals {
    pub transactions: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub duration: Duration,
}

/// Why something failed, or a session was ended.
#[derive(Debug, Clone, Copy)]
pub struct Cause<'a> {
    pub reason: &'a str,
    pub sqlstate: &'a str,
}
