//! From accept to a session, or to a refusal with a record.
//!
//! One deadline covers all of it that depends on the client. What a session
//! then waits for is ours (a server connection, a rotation), and has limits of
//! its own.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use chrono::Utc;
use tokio::io::AsyncWriteExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{self, timeout, timeout_at};
use tracing::{debug, info};

use super::Session;
use super::ask_token;
use super::context::{Context, NotAdded};
use super::door::{Knock, Origin};
use super::handshake::{Handshake, Refusal, handshake};
use super::start::{self, Failed};
use crate::access::token::Rejected;
use crate::access::{Evidence, Grant, Request};
use crate::audit::{Event, Outcome, Record};
use crate::base::crew::Crew;
use crate::net::{Accepted, Peer, Socket, Stream, hang_up};
use crate::pool::Settings;
use crate::wire::startup::{Startup, StartupError};
use crate::wire::{ClientError, login};

/// Denials are given at multiples of this time after the start-up packet, so
/// that how long the decision took tells nothing about what was decided.
const DENIAL_TICK: Duration = Duration::from_millis(50);

/// What came of a connection before its client was known.
enum Arrival {
    Admitted(Box<Admitted>),
    Cancel {
        stream: Stream,
        pid: u32,
        key: Vec<u8>,
    },
    /// It ended, and whatever there is to say about that has been said.
    Over,
    /// It ended without the client being told.
    Broken(&'static str),
}

/// A client that was let in, with what its session begins with.
pub(super) struct Admitted {
    pub session: Box<Session>,
    /// Of its start.
    pub record: Box<Record>,
    pub stream: Stream,
    pub startup: Startup,
    pub settings: Settings,
    pub grant: Grant,
    pub permit: OwnedSemaphorePermit,
}

/// Serves one connection to its end.
pub async fn serve(context: Arc<Context>, accepted: Accepted) {
    // What is over before a session becomes idle is on the heap meanwhile, and
    // gone then: an idle session is to be small.
    let Some(admitted) = Box::pin(arrive(context, accepted)).await else {
        return;
    };
    if let Some(begun) = Box::pin(admitted.begin()).await {
        begun.relay().await;
    }
}

/// `None`: it has ended, and that has been dealt with.
async fn arrive(context: Arc<Context>, accepted: Accepted) -> Option<Box<Admitted>> {
    let deadline = time::Instant::now() + context.handshake_timeout;
    let mut evidence = Evidence::new(accepted.peer);
    evidence.local = accepted.local;
    let origin = match context.expects_proxy_header(&evidence) {
        true => Origin::Proxy,
        false => Origin::of(&evidence),
    };
    let knock = context.door.knock(origin);
    let arrival = tokio::select! {
        arrival = timeout_at(deadline, receive(&context, accepted.socket, &mut evidence, &knock)) => {
            arrival.unwrap_or(Arrival::Broken("handshake_timeout"))
        }
        () = knock.gives_way() => Arrival::Broken("too_many_handshakes"),
    };
    // Who was denied has its record, whatever ended it then.
    let arrival = match arrival {
        Arrival::Broken(_) if knock.was_denied() => Arrival::Over,
        arrival => arrival,
    };
    drop(knock);
    match arrival {
        Arrival::Admitted(admitted) => return Some(admitted),
        Arrival::Cancel {
            mut stream,
            pid,
            key,
        } => {
            if !context.sessions.cancel(pid, &key).await {
                note(&context, &evidence, "cancel_key").await;
            }
            // That it is over is the only answer: whoever waits for it knows
            // that the cancel hits nothing which comes later. There is nothing
            // left to read, so nothing has to be waited for either.
            let _ = timeout(DENIAL_TICK, stream.shutdown()).await;
        }
        Arrival::Broken(reason) => note(&context, &evidence, reason).await,
        Arrival::Over => {}
    }
    None
}

impl Context {
    /// Whether a connection has to begin with a PROXY header.
    pub(super) fn expects_proxy_header(&self, evidence: &Evidence) -> bool {
        match evidence.peer {
            Peer::Tcp(address) => self
                .proxy_protocol
                .iter()
                .any(|net| net.contains(&address.ip())),
            Peer::Unix { .. } => false,
        }
    }
}

async fn receive(
    context: &Arc<Context>,
    socket: Socket,
    evidence: &mut Evidence,
    knock: &Knock,
) -> Arrival {
    match handshake(socket, evidence, context, knock).await {
        Err(broken) => {
            debug!(peer = %evidence.peer, "handshake broken off: {broken}");
            broken.reason().map_or(Arrival::Over, Arrival::Broken)
        }
        Ok(Handshake::Cancel { stream, pid, key }) => Arrival::Cancel { stream, pid, key },
        Ok(Handshake::Refused(stream, refusal)) => {
            let (error, reason) = match refusal {
                Refusal::Startup(e @ StartupError::ProxyHeader) => {
                    (ClientError::Startup(e), "proxy_header")
                }
                Refusal::Startup(e) => (ClientError::Startup(e), "malformed"),
                Refusal::TlsRequired => (ClientError::TlsRequired, "tls_required"),
            };
            let denied = Denied::new(denial(evidence), reason, error);
            let error = deny(context, evidence, knock, denied).await;
            refuse(context, stream, |out| error.fatal(out)).await;
            Arrival::Over
        }
        Ok(Handshake::Start(stream, startup)) => {
            let began = Instant::now();
            let mut stream = stream;
            if startup.asks_for_more() && negotiate(&mut stream, &startup).await.is_err() {
                return Arrival::Over;
            }
            match admit(context, evidence, &startup, &mut stream).await {
                Ok((session, record, settings, grant, permit)) => {
                    Arrival::Admitted(Box::new(Admitted {
                        session: Box::new(session),
                        record,
                        stream,
                        startup,
                        settings,
                        grant,
                        permit,
                    }))
                }
                Err(NotAdmitted::Gone(reason)) => Arrival::Broken(reason),
                Err(NotAdmitted::Denied(denied)) => {
                    // Recorded before it is told.
                    let error = deny(context, evidence, knock, *denied).await;
                    let ticks = began.elapsed().as_nanos() / DENIAL_TICK.as_nanos() + 1;
                    let ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
                    let at = began + DENIAL_TICK.saturating_mul(ticks);
                    time::sleep_until(at.into()).await;
                    refuse(context, stream, |out| error.fatal(out)).await;
                    Arrival::Over
                }
            }
        }
    }
}

/// Tells a client what is spoken of what it asks for, before anything else.
async fn negotiate(stream: &mut Stream, startup: &Startup) -> std::io::Result<()> {
    let mut out = Vec::new();
    let version = startup.version.spoken();
    login::negotiate_protocol_version(&mut out, version, &startup.protocol_options);
    stream.say(&out).await
}

/// A refusal: what is recorded, and what the client is told.
struct Denied {
    record: Box<Record>,
    reason: &'static str,
    error: Failed,
}

/// Why nobody was let in.
enum NotAdmitted {
    Denied(Box<Denied>),
    /// Nobody is there any more to be told.
    Gone(&'static str),
}

impl Denied {
    fn new(record: Box<Record>, reason: &'static str, error: impl Into<Failed>) -> Self {
        let error = error.into();
        Self {
            record,
            reason,
            error,
        }
    }
}

/// Identifies and authorises.
async fn admit(
    context: &Arc<Context>,
    evidence: &mut Evidence,
    startup: &Startup,
    stream: &mut Stream,
) -> Result<(Session, Box<Record>, Settings, Grant, OwnedSemaphorePermit), NotAdmitted> {
    let mut record = denial(evidence);
    record.database = Some(shown(&startup.database));
    let user: Arc<str> = startup.user.as_str().into();
    record.requested_user = Some(shown(&user));
    record.application_name = startup.parameter("application_name").map(shown);
    record.tls = stream.tls_version().map(Into::into);

    let routes = context.routes.load_full();
    if routes.policy.asks_for_account(evidence) {
        ask_for_account(evidence).await;
    }
    let asked = ask_token::gather(context, stream, &routes.policy, evidence, startup);
    let rejected = asked
        .await
        .map_err(|gone| NotAdmitted::Gone(gone.reason()))?;
    let request = Request {
        evidence,
        database: &startup.database,
        user: &startup.user,
        now: Utc::now(),
    };
    let decision = routes.policy.decide(&request);
    record.identity = Some(match &decision.grant {
        Ok(grant) => grant.identity.clone(),
        Err(_) => Arc::new(evidence.identity()),
    });
    let refuse = |record: &Record, reason, error: ClientError| {
        NotAdmitted::Denied(Box::new(Denied::new(record.clone().into(), reason, error)))
    };
    let grant = match decision.grant {
        Ok(grant) => grant,
        Err(denial) => {
            debug!("{}", decision.why_not(&request));
            let reason = rejected.map_or(denial.reason(), Rejected::reason);
            return Err(refuse(&record, reason, ClientError::Denied));
        }
    };
    record.client = Some(grant.client.name.clone());
    record.rule = Some(grant.client.rule);

    let Ok(permit) = context.clients.clone().try_acquire_owned() else {
        return Err(refuse(
            &record,
            "too_many_clients",
            ClientError::TooManyClients,
        ));
    };
    let settings = start::settings(startup).map_err(|e| refuse(&record, "parameter", e))?;
    // Rules and pools are made from the same configuration.
    let pool = routes
        .pool(&grant)
        .ok_or_else(|| refuse(&record, "no_pool", ClientError::Denied))?;
    let evidence = Arc::new(evidence.clone());
    let source = record.source.clone().unwrap_or_default();
    let handle = context
        .sessions
        .add(&grant, user, source, evidence, startup.version.spoken())
        .map_err(|e| match e {
            NotAdded::TooManyOfRule => {
                refuse(&record, "too_many_clients", ClientError::TooManyClients)
            }
            NotAdded::TooManyOfDatabase => {
                let error = ClientError::TooManyClientsOf(grant.database.name.clone());
                refuse(&record, "too_many_clients", error)
            }
            NotAdded::NoRandomNumbers => {
                refuse(&record, "no_random_numbers", ClientError::NoRandomNumbers)
            }
        })?;
    if handle.evidence.certificate.is_some() || !Arc::ptr_eq(&routes, &context.routes.load()) {
        context.recheck(&handle);
    }
    let session = Session {
        context: context.clone(),
        handle,
        pool,
        quota: grant.quota.clone(),
        began: Instant::now(),
    };
    Ok((session, record, settings, grant, permit))
}

/// A name that somebody asks for, as far as it is shown: a start-up packet may hold one
/// of ten thousand bytes, and Postgres knows none above 63.
fn shown(name: &str) -> Arc<str> {
    const MOST: usize = 256;
    match name.char_indices().find(|(at, c)| at + c.len_utf8() > MOST) {
        Some((end, _)) => format!("{}…", &name[..end]).into(),
        None => name.into(),
    }
}

/// Walks through `/proc`, and questions to a name service: as many at a time.
static ACCOUNTS: Crew = Crew::new("accounts", 4);

/// A name service may take its time; nobody else must wait for it.
async fn ask_for_account(evidence: &mut Evidence) {
    let asked = {
        let mut evidence = evidence.clone();
        ACCOUNTS.run(move || {
            evidence.ask_for_account();
            evidence
        })
    };
    // Without an answer nothing is known, and no rule that asks for it matches.
    if let Ok(known) = asked.await {
        *evidence = known;
    }
}

/// The beginning of a record about a client that is not let in.
fn denial(evidence: &Evidence) -> Box<Record> {
    let mut record = Box::new(Record::new(Event::SessionDeny));
    record.source = Some(evidence.peer.to_string().into());
    record.via = evidence.via.map(|via| via.to_string().into());
    record.outcome = Some(Outcome::Failure);
    record
}

/// Counts and records a client that cannot be told anything.
async fn note(context: &Context, evidence: &Evidence, reason: &'static str) {
    context.metrics.denial(reason);
    if context.door.note_denial(Origin::of(evidence), reason) {
        info!(source = %evidence.peer, "client denied: {reason}");
        let mut record = denial(evidence);
        record.reason = Some(reason.into());
        let _ = context.audit.record_durably(record).await;
    }
}

/// Counts and records a client that is going to be told why.
async fn deny(context: &Context, evidence: &Evidence, knock: &Knock, denied: Denied) -> Failed {
    let Denied {
        mut record,
        reason,
        error,
    } = denied;
    context.metrics.denial(reason);
    knock.is_denied();
    if context.door.note_denial(Origin::of(evidence), reason) {
        info!(
            source = record.source.as_deref(),
            database = record.database.as_deref(),
            "client denied: {reason}"
        );
        record.reason = Some(reason.into());
        record.sqlstate = Some(error.sqlstate().into());
        // Where that fails, it has been counted.
        let _ = context.audit.record_durably(record).await;
    }
    error
}

/// How often denials without a record of their own are told of.
const SUMMARY: Duration = Duration::from_secs(5);

impl Context {
    /// Tells of them for as long as the proxy runs.
    pub async fn watch_denials(context: Weak<Self>) {
        loop {
            time::sleep(SUMMARY).await;
            match context.upgrade() {
                Some(context) => context.tell_of_denials(),
                None => return,
            }
        }
    }

    /// A record for each kind of denial, and each address, that had none of its own.
    pub fn tell_of_denials(&self) {
        for summary in self.door.summaries() {
            let source = match summary.origin {
                Some(origin) => origin.to_string(),
                None => "other addresses".to_owned(),
            };
            let (reason, count) = (summary.reason, summary.count);
            info!(
                source,
                "clients denied: {reason}, {count} more of this kind"
            );
            let mut record = Record::new(Event::SessionDeny);
            record.source = Some(source.into());
            record.outcome = Some(Outcome::Failure);
            record.reason = Some(reason.into());
            record.count = Some(count);
            self.audit.record(record);
        }
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
    let said = timeout(context.handshake_timeout, stream.say(&out)).await;
    if matches!(said, Ok(Ok(()))) {
        hang_up(&mut stream).await;
    }
}
