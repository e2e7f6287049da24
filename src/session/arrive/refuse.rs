//! What becomes of a client that is not let in: counted, recorded, told.

use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use tokio::time::{sleep, timeout};
use tracing::info;

use super::origin::Origin;
use super::refusals::{Refusal, Why};
use crate::access::{Denial, Evidence};
use crate::audit::{ClientRef, Record};
use crate::net::{Stream, hang_up};
use crate::session::context::Context;
use crate::wire::{ClientError, Reference};

/// What is known of a client before it has said anything.
pub fn client_ref(evidence: &Evidence) -> ClientRef {
    ClientRef {
        source: evidence.peer.to_string().into(),
        via: evidence.via.map(|via| via.to_string().into()),
        ..ClientRef::default()
    }
}

/// Counts and records a client that is not let in. `why`: what the rules had to say. The ref
/// that the client is to be shown; none if nothing would be found by it.
pub async fn record_denial(
    context: &Context,
    evidence: &Evidence,
    mut client: ClientRef,
    denial: &Denial,
    why: Why,
) -> Option<Reference> {
    let code = denial.code();
    context.metrics.denial(code);
    if !context.denials.note(Origin::of(evidence), code) {
        return None;
    }
    let shows_ref = matches!(denial.answer(), Some(ClientError::Denied(_)));
    let reference = shows_ref.then(|| {
        context.refusals.keep(Refusal {
            at: SystemTime::now(),
            client: client.clone(),
            reason: code,
            words: denial.words(),
            why,
        })
    });
    let reference = reference.flatten();
    client.reference = reference.map(|r| r.to_string().into());
    info!(
        source = &*client.source,
        database = client.database.as_deref(),
        user = client.requested_user.as_deref(),
        reason = code,
        "ref" = client.reference.as_deref(),
        "client denied: {}",
        denial.words()
    );
    let sqlstate = denial.answer().map(|error| error.sqlstate().0);
    let record = Box::new(Record::session_deny(client, code, sqlstate));
    // A record that cannot be written is counted by the log itself.
    let _ = context.audit.record_durably(record).await;
    reference
}

/// Counts a client that is not let in, for the metrics and a summary.
pub fn count_denial(context: &Context, evidence: &Evidence, denial: &Denial) {
    context.metrics.denial(denial.code());
    context.denials.count(Origin::of(evidence), denial.code());
}

/// Tells a client why it is not let in, as far as it may know.
pub async fn tell(
    context: &Context,
    stream: Stream,
    denial: &Denial,
    reference: Option<Reference>,
) {
    let answer = denial.answer().map(|error| match error {
        ClientError::Denied(_) => ClientError::Denied(reference),
        other => other,
    });
    if let Some(error) = answer {
        refuse(context, stream, |out| error.fatal(out)).await;
    }
}

/// Tells a client why it is not let in, and hangs up.
pub async fn refuse(context: &Context, mut stream: Stream, write: impl FnOnce(&mut Vec<u8>)) {
    let mut out = Vec::new();
    write(&mut out);
    let limit = context.reception.load().handshake_timeout;
    let said = timeout(limit, stream.say(&out)).await;
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
            info!(%source, reason, "{count} more clients denied");
            self.audit
                .record(Record::sessions_denied(source, reason, count));
        }
    }
}
