//! From accept to a session, or to a refusal with a record.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use chrono::Utc;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tracing::{debug, info};

use super::Session;
use super::ask_token;
use super::context::{Context, NotAdded};
use super::handshake::{Handshake, Refusal, handshake};
use super::start::{self, Failed};
use crate::access::token::Rejected;
use crate::access::{Certificate, Evidence, Request};
use crate::audit::{Event, Outcome, Record};
use crate::net::{Accepted, Stream, hang_up};
use crate::wire::ClientError;
use crate::wire::startup::Startup;

/// Serves one connection to its end.
pub async fn serve(context: Arc<Context>, accepted: Accepted) {
    let (mut evidence, local) = (Evidence::new(accepted.peer.clone()), accepted.local);
    let greeted = timeout(context.handshake_timeout, handshake(accepted, &context)).await;
    match greeted {
        Err(_) => note(&context, &evidence, "handshake_timeout").await,
        Ok(Err(broken)) => {
            debug!(peer = %evidence.peer, "handshake broken off: {broken}");
            if let Some(reason) = broken.reason() {
                note(&context, &evidence, reason).await;
            }
        }
        Ok(Ok(Handshake::Cancel { pid, key })) => context.sessions.cancel(pid, &key).await,
        Ok(Ok(Handshake::Refused(stream, refusal))) => {
            let (error, reason) = match refusal {
                Refusal::Startup(e) => (ClientError::Startup(e), "malformed"),
                Refusal::TlsRequired => (ClientError::TlsRequired, "tls_required"),
            };
            let record = denial(&evidence);
            deny(&context, stream, record, reason, Failed::Client(error)).await;
        }
        Ok(Ok(Handshake::Start(stream, startup))) => {
            evidence.certificate = Certificate::read(stream.peer_certificates()).map(Arc::new);
            admit(context, stream, evidence, local, startup).await;
        }
    }
}

/// The beginning of a record about a client that is not let in.
fn denial(evidence: &Evidence) -> Record {
    let mut record = Record::new(Event::SessionDeny);
    record.source = Some(evidence.peer.to_string().into());
    record.outcome = Some(Outcome::Failure);
    record
}

/// Counts and records a client that cannot be told anything.
async fn note(context: &Context, evidence: &Evidence, reason: &'static str) {
    info!(source = %evidence.peer, "client denied: {reason}");
    context.metrics.denial(reason);
    let mut record = denial(evidence);
    record.reason = Some(reason.into());
    let _ = context.audit.record_durably(record).await;
}

/// Tells a client why it is not let in.
pub(super) async fn refuse(
    context: &Context,
    mut stream: Stream,
    write: impl FnOnce(&mut Vec<u8>),
) {
    let mut out = Vec::new();
    write(&mut out);
    let say = async {
        stream.write_all(&out).await?;
        stream.flush().await
    };
    let said = timeout(context.handshake_timeout, say).await;
    if matches!(said, Ok(Ok(()))) {
        hang_up(&mut stream).await;
    }
}

/// Identifies, authorises, and records both outcomes.
async fn admit(
    context: Arc<Context>,
    mut stream: Stream,
    mut evidence: Evidence,
    local: Option<SocketAddr>,
    startup: Startup,
) {
    let mut record = denial(&evidence);
    record.database = Some(startup.database.as_str().into());
    record.requested_user = Some(startup.user.as_str().into());
    record.application_name = startup.parameter("application_name").map(Into::into);
    record.tls = stream.tls_version().map(Into::into);

    let routes = context.routes.load_full();
    if routes.policy.asks_whose(&evidence) {
        evidence = ask_for_account(evidence, local).await;
    }
    let asked = ask_token::gather(
        &context,
        &mut stream,
        &routes.policy,
        &mut evidence,
        &startup,
    );
    let rejected = match asked.await {
        Ok(rejected) => rejected,
        Err(gone) => return context.metrics.denial(gone.reason()),
    };
    let request = Request {
        evidence: &evidence,
        database: &startup.database,
        user: &startup.user,
        now: Utc::now(),
    };
    let decision = routes.policy.decide(&request);
    let grant = match decision.grant {
        Ok(grant) => grant,
        Err(denial) => {
            debug!("{}", decision.why_not(&request));
            record.identity = Some(Arc::new(evidence.identity()));
            let denied = Failed::Client(ClientError::Denied);
            let reason = rejected.map_or(denial.reason(), Rejected::reason);
            return deny(&context, stream, record, reason, denied).await;
        }
    };
    record.client = Some(grant.client.name.clone());
    record.identity = Some(grant.identity.clone());
    record.rule = Some(grant.client.rule);

    let Ok(_permit) = context.clients.clone().try_acquire_owned() else {
        let error = Failed::Client(ClientError::TooManyClients);
        return deny(&context, stream, record, "too_many_clients", error).await;
    };
    let settings = match start::settings(&startup) {
        Ok(settings) => settings,
        Err(e) => return deny(&context, stream, record, "parameter", e.into()).await,
    };
    let Some(pool) = routes.pool(&grant) else {
        // Rules and pools are made from the same configuration.
        let error = Failed::Client(ClientError::Denied);
        return deny(&context, stream, record, "no_pool", error).await;
    };
    let evidence = Arc::new(evidence);
    let handle = match context.sessions.add(&grant, &startup.user, evidence) {
        Ok(handle) => handle,
        Err(NotAdded::NoRandomNumbers) => {
            let error = Failed::Client(ClientError::NoRandomNumbers);
            return deny(&context, stream, record, "no_random_numbers", error).await;
        }
        Err(NotAdded::TooManyOfDatabase) => {
            let error = ClientError::TooManyClientsOf(grant.database.name.clone());
            let error = Failed::Client(error);
            return deny(&context, stream, record, "too_many_clients", error).await;
        }
    };
    if handle.evidence.certificate.is_some() || !Arc::ptr_eq(&routes, &context.routes.load()) {
        context.recheck(&handle);
    }
    drop(routes);
    let session = Session {
        context,
        handle,
        pool,
        record,
        began: Instant::now(),
    };
    session.run(stream, &startup, settings, &grant).await;
}

/// A name service may take its time; nobody else must wait for it.
async fn ask_for_account(evidence: Evidence, local: Option<SocketAddr>) -> Evidence {
    let asked = {
        let mut evidence = evidence.clone();
        tokio::task::spawn_blocking(move || {
            evidence.ask_for_account(local);
            evidence
        })
    };
    // Without an answer nothing is known, and no rule that asks for it matches.
    asked.await.unwrap_or(evidence)
}

pub(super) async fn deny(
    context: &Context,
    stream: Stream,
    mut record: Record,
    reason: &'static str,
    error: Failed,
) {
    info!(
        source = record.source.as_deref(),
        database = record.database.as_deref(),
        "client denied: {reason}"
    );
    context.metrics.denial(reason);
    record.reason = Some(reason.into());
    record.sqlstate = Some(error.sqlstate().into());
    // Recorded before it is told; where that fails, it has been counted.
    let _ = context.audit.record_durably(record).await;
    refuse(context, stream, |out| error.fatal(out)).await;
}
