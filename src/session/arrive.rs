//! From accept to a session or a refusal.
//!
//! One deadline (`[listen] handshake_timeout`) covers all that depends on the client. What a
//! session waits for afterwards (a server connection, a rotation) depends on pgvalet, and
//! has limits of its own.
//!
//! * `limiter`   how many connections may be in their handshake at once
//! * `origin`    whom a connection is counted for
//! * `handshake` PROXY header, TLS and the start-up packet
//! * `token`     a token, as a password or by SASL
//! * `settings`  what a client sets at start-up
//! * `admit`     who the client is, what the rules say, and its place among the sessions
//! * `refuse`    what becomes of a client that is not let in
//! * `denials`   which denials have a record of their own
//! * `refusals`  why clients were denied, for those who run the proxy

mod admit;
mod denials;
mod handshake;
mod limiter;
mod origin;
mod refusals;
mod refuse;
pub(crate) mod settings;
pub(crate) mod token;

pub(super) use admit::Admission;
pub use denials::Denials;
pub use limiter::Limiter;
pub use refusals::{Refusal, Refusals, RuleSays, Why};
pub(super) use refuse::{client_ref, count_denial, refuse, tell};

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::time::{self, timeout, timeout_at};
use tracing::debug;

use super::console::{Visit, Visitor};
use super::context::Context;
use crate::access::{Denial, Evidence};
use crate::net::{Accepted, Peer, Socket, Stream};
use crate::wire::login;
use crate::wire::startup::Startup;
use admit::{Admitted, Denied, NotAdmitted, admit};
use handshake::{Handshake, handshake};
use limiter::Ticket;
use origin::Origin;
use refuse::record_denial;

/// A denial is answered at a multiple of this time after the start-up packet, so that the
/// time it takes tells nothing about the decision.
const DENIAL_TICK: Duration = Duration::from_millis(50);

/// How long the handshake may take of a client that is turned away.
const NO_ROOM: Duration = Duration::from_secs(2);

/// A client that was let in, and has been told nothing yet.
pub(super) struct Arrived {
    pub admission: Admission,
    pub stream: Stream,
    pub startup: Startup,
}

/// Who was let in.
pub(super) enum Guest {
    Client(Box<Arrived>),
    /// It asks for the console.
    Visitor(Box<Visitor>),
}

/// What came of a connection before its client was known.
enum Arrival {
    Admitted(Guest),
    Cancel {
        stream: Stream,
        pid: u32,
        key: Vec<u8>,
    },
    /// The client was told why it is not let in, or has left.
    Over,
    /// The connection ended without the client being told; the reason is recorded.
    Broken(Denial),
}

/// Takes a connection to the point where its client is let in. `None`: it has ended, and
/// nothing is left to do. `turned_away`: why its client is not let in, whoever it is.
pub(super) async fn arrive(
    context: Arc<Context>,
    accepted: Accepted,
    turned_away: Option<Denial>,
) -> Option<Guest> {
    let mut limit = context.reception.load().handshake_timeout;
    if turned_away.is_some() {
        limit = limit.min(NO_ROOM);
    }
    let deadline = time::Instant::now() + limit;
    let mut evidence = Evidence::new(accepted.peer);
    evidence.local = accepted.local;
    let origin = match context.expects_proxy_header(&evidence) {
        true => Origin::Proxy,
        false => Origin::of(&evidence),
    };
    let ticket = context.limiter.enter(origin);
    let arrival = tokio::select! {
        // What has arrived is read before the connection gives way to others.
        biased;
        arrival = timeout_at(deadline, receive(&context, accepted.socket, &mut evidence, &ticket, &turned_away)) => {
            arrival.unwrap_or(Arrival::Broken(Denial::HandshakeTimeout))
        }
        () = ticket.evicted() => Arrival::Broken(Denial::TooManyHandshakes),
    };
    let was_denied = ticket.was_denied();
    drop(ticket);
    match arrival {
        Arrival::Admitted(guest) => return Some(guest),
        Arrival::Cancel { stream, pid, key } => {
            cancel(&context, &evidence, stream, pid, &key).await
        }
        // A client that was denied has its record, whatever ended its connection then.
        Arrival::Broken(denial) if !was_denied => {
            let client = client_ref(&evidence);
            record_denial(&context, &evidence, client, &denial, Why::default()).await;
        }
        Arrival::Broken(_) | Arrival::Over => {}
    }
    None
}

/// Handshake, identification and admission.
async fn receive(
    context: &Arc<Context>,
    socket: Socket,
    evidence: &mut Evidence,
    ticket: &Ticket,
    turned_away: &Option<Denial>,
) -> Arrival {
    let (mut stream, startup) = match handshake(socket, evidence, context, ticket).await {
        Ok(Handshake::Start(stream, startup)) => (stream, startup),
        Ok(Handshake::Cancel { stream, pid, key }) => return Arrival::Cancel { stream, pid, key },
        Ok(Handshake::Refused(stream, denial)) => {
            ticket.mark_denied();
            let client = client_ref(evidence);
            record_denial(context, evidence, client, &denial, Why::default()).await;
            tell(context, stream, &denial, None).await;
            return Arrival::Over;
        }
        Err(broken) => {
            debug!(peer = %evidence.peer, "handshake broken off: {broken}");
            return broken.denial().map_or(Arrival::Over, Arrival::Broken);
        }
    };
    ticket.mark_heard(Origin::of(evidence));
    if let Some(denial) = turned_away {
        ticket.mark_denied();
        count_denial(context, evidence, denial);
        tell(context, stream, denial, None).await;
        return Arrival::Over;
    }
    let began = Instant::now();
    if startup.asks_for_more() && negotiate(&mut stream, &startup).await.is_err() {
        return Arrival::Over;
    }
    match admit(context, evidence, &startup, &mut stream, ticket).await {
        Ok(Admitted::Client(admission)) => Arrival::Admitted(Guest::Client(Box::new(Arrived {
            admission: *admission,
            stream,
            startup,
        }))),
        Ok(Admitted::Console { handle, client }) => {
            let visit = Visit {
                stream,
                startup,
                handle,
            };
            Arrival::Admitted(Guest::Visitor(Box::new(Visitor {
                context: context.clone(),
                client,
                visit,
            })))
        }
        Err(NotAdmitted::Gone(denial)) => Arrival::Broken(denial),
        Err(NotAdmitted::Denied(denied)) => {
            let Denied {
                client,
                denial,
                why,
            } = *denied;
            ticket.mark_denied();
            // Recorded before the client is told.
            let reference = record_denial(context, evidence, client, &denial, why).await;
            time::sleep_until(next_tick(began).into()).await;
            tell(context, stream, &denial, reference).await;
            Arrival::Over
        }
    }
}

/// The first tick since `began` that is still to come.
fn next_tick(began: Instant) -> Instant {
    let ticks = began.elapsed().as_nanos() / DENIAL_TICK.as_nanos() + 1;
    let ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
    began + DENIAL_TICK.saturating_mul(ticks)
}

/// NegotiateProtocolVersion: tells a client that asks for a newer protocol, or for options
/// of it, what pgvalet speaks.
async fn negotiate(stream: &mut Stream, startup: &Startup) -> io::Result<()> {
    let mut out = Vec::new();
    let version = startup.version.spoken();
    login::negotiate_protocol_version(&mut out, version, &startup.protocol_options);
    stream.say(&out).await
}

/// Executes a cancel request.
async fn cancel(context: &Context, evidence: &Evidence, mut stream: Stream, pid: u32, key: &[u8]) {
    if !context.cancel(pid, key).await {
        let client = client_ref(evidence);
        record_denial(
            context,
            evidence,
            client,
            &Denial::CancelKey,
            Why::default(),
        )
        .await;
    }
    // The end of the stream is the only answer: whoever waits for it knows that the cancel
    // hits nothing that comes later. There is nothing left to read, so nothing has to be
    // waited for.
    let _ = timeout(DENIAL_TICK, stream.shutdown()).await;
}

impl Context {
    /// Whether a connection has to begin with a PROXY header.
    fn expects_proxy_header(&self, evidence: &Evidence) -> bool {
        match evidence.peer {
            Peer::Tcp(address) => self
                .reception
                .load()
                .proxy_protocol
                .iter()
                .any(|net| net.contains(&address.ip())),
            Peer::Unix { .. } => false,
        }
    }
}
