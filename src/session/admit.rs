//! From accept to a session, or to a refusal with a record.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Instant;

use chrono::Utc;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tracing::{debug, info};

use super::Session;
use super::ask_token;
use super::context::Context;
use super::handshake::{Handshake, Refusal, handshake};
use super::start::{self, Failed};
use crate::access::token::Rejected;
use crate::access::{Evidence, Request};
use crate::audit::{Event, Outcome, Record};
use crate::config::TokenMethod;
use crate::net::{Accepted, Peer, Stream};
use crate::wire::ClientError;
use crate::wire::startup::Startup;

/// Serves one connection to its end.
pub async fn serve(context: Arc<Context>, accepted: Accepted) {
    let peer = accepted.peer.clone();
    let greeted = timeout(context.handshake_timeout, handshake(accepted, &context.tls)).await;
    match greeted {
        Err(_) => context.metrics.denial("handshake_timeout"),
        Ok(Err(broken)) => debug!(%peer, "handshake broken off: {broken}"),
        Ok(Ok(Handshake::Cancel { pid, key })) => context.sessions.cancel(pid, &key).await,
        Ok(Ok(Handshake::Refused(stream, refusal))) => {
            let error = match refusal {
                Refusal::Startup(e) => ClientError::Startup(e),
                Refusal::TlsRequired => ClientError::TlsRequired,
            };
            context.metrics.denial(match refusal {
                Refusal::Startup(_) => "malformed",
                Refusal::TlsRequired => "tls_required",
            });
            refuse(&context, stream, |out| error.fatal(out)).await;
        }
        Ok(Ok(Handshake::Start(stream, startup))) => admit(context, stream, peer, startup).await,
    }
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
        stream.shutdown().await
    };
    let _ = timeout(context.handshake_timeout, say).await;
}

/// Identifies, authorises, and records both outcomes.
async fn admit(context: Arc<Context>, mut stream: Stream, peer: Peer, startup: Startup) {
    let mut record = Record::new(Event::SessionDeny);
    record.source = Some(peer.to_string().into());
    record.database = Some(startup.database.as_str().into());
    record.requested_user = Some(startup.user.as_str().into());
    record.application_name = startup.parameter("application_name").map(Into::into);
    record.tls = stream.tls_version().map(Into::into);

    let mut evidence = gather(peer).await;
    let routes = context.routes.load_full();
    let (database, user) = (startup.database.as_str(), startup.user.as_str());
    let now = Utc::now();
    let ask = Request {
        evidence: &evidence,
        database,
        user,
        now,
    };
    let mut rejected = None;
    if let Some(wanted) = routes.policy.asks_for_token(&ask)
        && may_be_asked(&stream, &evidence.peer)
    {
        let limit = context.handshake_timeout;
        let token = match timeout(limit, ask_token::ask(&mut stream, wanted.method)).await {
            Ok(Ok(token)) => Some(token),
            Ok(Err(error)) if error.kind() == ErrorKind::InvalidData => None,
            Ok(Err(error)) => {
                debug!(peer = %evidence.peer, "no token: {error}");
                return context.metrics.denial("no_token");
            }
            Err(_) => return context.metrics.denial("handshake_timeout"),
        };
        let examined = match &token {
            Some(token) => routes.policy.examine(token).await,
            None => Err(Rejected::Malformed),
        };
        match examined {
            Ok(verified) => evidence.tokens = verified,
            Err(why) => {
                rejected = Some(why);
                if wanted.method == TokenMethod::OauthBearer && token.is_some() {
                    let explain = ask_token::explain(&mut stream, &wanted.issuer.issuer);
                    // A client that does not listen is refused all the same.
                    let _ = timeout(limit, explain).await;
                }
            }
        }
    }
    let request = Request {
        evidence: &evidence,
        database,
        user,
        now,
    };
    let decision = routes.policy.decide(&request);
    let grant = match decision.grant {
        Ok(grant) => grant,
        Err(denial) => {
            debug!("{}", decision.why_not(&request));
            record.identity = Some(Arc::new(evidence.identity(None)));
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
    if startup.replication {
        let error = Failed::Client(ClientError::Unsupported("replication"));
        return deny(&context, stream, record, "unsupported", error).await;
    }
    let settings = match start::settings(&startup) {
        Ok(settings) => settings,
        Err(e) => return deny(&context, stream, record, "parameter", e.into()).await,
    };
    let Some(pool) = routes.pool(&grant) else {
        // Rules and pools are made from the same configuration.
        let error = Failed::Client(ClientError::Denied);
        return deny(&context, stream, record, "no_pool", error).await;
    };
    drop(routes);
    let source: Arc<str> = evidence.peer.to_string().into();
    let Some(handle) = context.sessions.add(&grant, source) else {
        let error = Failed::Client(ClientError::NoRandomNumbers);
        return deny(&context, stream, record, "no_random_numbers", error).await;
    };
    let session = Session {
        context,
        handle,
        pool,
        record,
        began: Instant::now(),
    };
    session.run(stream, &startup, settings, &grant).await;
}

/// A token is as good as a password to whoever reads it on the way.
fn may_be_asked(stream: &Stream, peer: &Peer) -> bool {
    match peer {
        Peer::Unix { .. } => true,
        Peer::Tcp(address) => stream.tls_version().is_some() || address.ip().is_loopback(),
    }
}

/// A name service may take its time; nobody else must wait for it.
async fn gather(peer: Peer) -> Evidence {
    let asked = {
        let peer = peer.clone();
        tokio::task::spawn_blocking(|| Evidence::gather(peer)).await
    };
    // Without an answer nothing is known, and nothing that was asked for holds.
    asked.unwrap_or(Evidence {
        peer,
        account: None,
        tokens: Vec::new(),
    })
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
    record.outcome = Some(Outcome::Failure);
    record.reason = Some(reason.into());
    record.sqlstate = Some(error.sqlstate().into());
    // Recorded before it is told; where that fails, it has been counted.
    let _ = context.audit.record_durably(record).await;
    refuse(context, stream, |out| error.fatal(out)).await;
}
