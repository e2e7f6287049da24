//! What becomes of a client that is not let in: counted, recorded, told.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::info;

use super::handshake::Refusal;
use super::limiter::Ticket;
use super::origin::Origin;
use crate::access::Evidence;
use crate::audit::{Event, Outcome, Record};
use crate::net::{Stream, hang_up};
use crate::session::context::Context;
use crate::session::greet::Failed;
use crate::wire::ClientError;
use crate::wire::startup::StartupError;

/// A denial: what is recorded, and what the client is told.
pub struct Denied {
    record: Box<Record>,
    /// As in the record and the metrics.
    reason: &'static str,
    error: Failed,
}

impl Denied {
    pub fn new(record: Box<Record>, reason: &'static str, error: impl Into<Failed>) -> Self {
        let error = error.into();
        Self {
            record,
            reason,
            error,
        }
    }

    /// A denial before the client has said who it is.
    pub fn in_handshake(evidence: &Evidence, refusal: Refusal) -> Self {
        let (error, reason) = match refusal {
            Refusal::Startup(e @ StartupError::ProxyHeader) => {
                (ClientError::Startup(e), "proxy_header")
            }
            Refusal::Startup(e) => (ClientError::Startup(e), "malformed"),
            Refusal::TlsRequired => (ClientError::TlsRequired, "tls_required"),
        };
        Self::new(denial(evidence), reason, error)
    }
}

/// The beginning of a record about a client that is not let in.
pub fn denial(evidence: &Evidence) -> Box<Record> {
    let mut record = Box::new(Record::new(Event::SessionDeny));
    record.source = Some(evidence.peer.to_string().into());
    record.via = evidence.via.map(|via| via.to_string().into());
    record.outcome = Some(Outcome::Failure);
    record
}

/// Counts and records a client that is not told anything.
pub async fn record_denial(context: &Context, evidence: &Evidence, reason: &'static str) {
    context.metrics.denial(reason);
    if context.denials.note(Origin::of(evidence), reason) {
        info!(source = %evidence.peer, "client denied: {reason}");
        let mut record = denial(evidence);
        record.reason = Some(reason.into());
        let _ = context.audit.record_durably(record).await;
    }
}

/// Counts and records a client that is about to be told why; returns what to tell it.
pub async fn deny(
    context: &Context,
    evidence: &Evidence,
    ticket: &Ticket,
    denied: Denied,
) -> Failed {
    let Denied {
        mut record,
        reason,
        error,
    } = denied;
    context.metrics.denial(reason);
    ticket.mark_denied();
    if context.denials.note(Origin::of(evidence), reason) {
        info!(
            source = record.source.as_deref(),
            database = record.database.as_deref(),
            "client denied: {reason}"
        );
        record.reason = Some(reason.into());
        record.sqlstate = Some(error.sqlstate().into());
        // A record that cannot be written is counted by the log itself.
        let _ = context.audit.record_durably(record).await;
    }
    error
}

/// Tells a client why it is not let in, and hangs up.
pub async fn refuse(context: &Context, mut stream: Stream, write: impl FnOnce(&mut Vec<u8>)) {
    let mut out = Vec::new();
    write(&mut out);
    let said = timeout(context.handshake_timeout, stream.say(&out)).await;
    if matches!(said, Ok(Ok(()))) {
        hang_up(&mut stream).await;
    }
}

/// How often denials without a record of their own are summed up.
const SUMMARY: Duration = Duration::from_secs(5);

impl Context {
    /// Records summaries of denials for as long as the proxy runs.
    pub async fn watch_denials(context: Weak<Self>) {
        loop {
            sleep(SUMMARY).await;
            match context.upgrade() {
                Some(context) => context.summarize_denials(),
                None => return,
            }
        }
    }

    /// Writes a record for each reason and each address that had denials without a record
    /// of their own.
    pub fn summarize_denials(&self) {
        for summary in self.denials.summaries() {
            let source: Arc<str> = match summary.origin {
                Some(origin) => origin.to_string().into(),
                None => "other addresses".into(),
            };
            let (reason, count) = (summary.reason, summary.count);
            info!(
                %source,
                "clients denied: {reason}, {count} more of this kind"
            );
            let mut record = Record::new(Event::SessionDeny);
            record.source = Some(source);
            record.outcome = Some(Outcome::Failure);
            record.reason = Some(reason.into());
            record.count = Some(count);
            self.audit.record(record);
        }
    }
}
