//! Who a client is, what the rules say about it, and its place among the sessions.

use std::sync::Arc;

use chrono::Utc;
use tracing::debug;

use super::limiter::Ticket;
use super::refusals::Why;
use super::refuse::client_ref;
use super::settings::settings;
use super::token;
use crate::access::token::Rejected;
use crate::access::{ConsoleGrant, Denial, Evidence, Grant, Granted, Policy, Request};
use crate::audit::ClientRef;
use crate::base::crew::Crew;
use crate::net::Stream;
use crate::pool::Settings;
use crate::session::context::{Context, Routes};
use crate::session::registry::{ConsoleHandle, NewConsole, NewSession, NotAdded};
use crate::session::seats::Seat;
use crate::session::serve::Session;
use crate::wire::startup::Startup;

/// What a client that was let in begins with.
pub struct Admission {
    pub session: Session,
    /// Who the client is, for the record of the start, which is still to be written.
    pub client: ClientRef,
    /// What the client sets at start-up.
    pub settings: Settings,
    /// One of `max_clients`.
    pub seat: Seat,
}

/// Who was let in, and to what.
pub enum Admitted {
    Client(Box<Admission>),
    /// To the console; who it is, for the record of the start.
    Console {
        handle: Arc<ConsoleHandle>,
        client: ClientRef,
    },
}

/// Why a client is not let in.
pub enum NotAdmitted {
    Denied(Box<Denied>),
    /// The client has left, and cannot be told.
    Gone(Denial),
}

/// A client that is denied, and why.
pub struct Denied {
    pub client: ClientRef,
    pub denial: Denial,
    /// What the rules had to say.
    pub why: Why,
}

impl NotAdmitted {
    fn denied(client: ClientRef, denial: Denial) -> Self {
        Self::Denied(Box::new(Denied {
            client,
            denial,
            why: Why::default(),
        }))
    }
}

/// Identifies and authorises a client, and adds its session.
///
/// # Errors
/// [`NotAdmitted`].
pub async fn admit(
    context: &Arc<Context>,
    evidence: &mut Evidence,
    startup: &Startup,
    stream: &mut Stream,
    ticket: &Ticket,
) -> Result<Admitted, NotAdmitted> {
    let mut client = attempt(evidence, startup, stream);
    let routes = context.routes.load_full();
    let rejected = identify(context, &routes.policy, evidence, startup, stream, ticket).await?;
    let tls = stream.tls_version();
    match authorise(&routes.policy, evidence, startup, rejected, &mut client) {
        Ok(Granted::Database(grant)) => {
            let admission = register(context, &routes, grant, evidence, startup, tls, client)?;
            Ok(Admitted::Client(Box::new(admission)))
        }
        Ok(Granted::Console(grant)) => register_console(context, grant, evidence, startup, client),
        Err((denial, why)) => Err(NotAdmitted::Denied(Box::new(Denied {
            client,
            denial,
            why,
        }))),
    }
}

/// What the record says of a client, whether it is let in or not.
fn attempt(evidence: &Evidence, startup: &Startup, stream: &Stream) -> ClientRef {
    ClientRef {
        database: Some(shown(&startup.database)),
        requested_user: Some(shown(&startup.user)),
        application_name: startup.parameter("application_name").map(shown),
        tls: stream.tls_version().map(Into::into),
        ..client_ref(evidence)
    }
}

/// A name from a start-up packet, as far as it is recorded: the packet may hold one of ten
/// thousand bytes, and Postgres knows no name longer than 63.
fn shown(name: &str) -> Arc<str> {
    const MOST: usize = 256;
    match name.char_indices().find(|(at, c)| at + c.len_utf8() > MOST) {
        Some((end, _)) => format!("{}…", &name[..end]).into(),
        None => name.into(),
    }
}

/// Completes the evidence: whose the connection is, and a token where a rule wants one.
/// Returns why a token counts for nothing, if one was rejected.
async fn identify(
    context: &Context,
    policy: &Policy,
    evidence: &mut Evidence,
    startup: &Startup,
    stream: &mut Stream,
    ticket: &Ticket,
) -> Result<Option<Rejected>, NotAdmitted> {
    if policy.asks_for_account(evidence) {
        ask_for_account(evidence).await;
    }
    token::gather(context, stream, policy, evidence, startup, ticket)
        .await
        .map_err(|gone| NotAdmitted::Gone(gone.denial()))
}

/// Threads that walk through `/proc` and ask the name service.
static ACCOUNTS: Crew = Crew::new("accounts", 4);

/// Asks the operating system whose the connection is, on a thread of its own: a name
/// service may take its time, and nobody else must wait for it.
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

/// Asks the rules.
///
/// # Errors
/// The reason of the denial, and what the rules had to say.
fn authorise(
    policy: &Policy,
    evidence: &Evidence,
    startup: &Startup,
    rejected: Option<Rejected>,
    client: &mut ClientRef,
) -> Result<Granted, (Denial, Why)> {
    let request = Request {
        evidence,
        database: &startup.database,
        user: &startup.user,
        now: Utc::now(),
    };
    let decision = policy.decide(&request);
    match decision.grant {
        Ok(granted) => {
            let (rule, identity) = match &granted {
                Granted::Database(grant) => (&grant.client, &grant.identity),
                Granted::Console(grant) => (&grant.client, &grant.identity),
            };
            client.identity = Some(identity.clone());
            client.rule = Some((rule.name.clone(), rule.number));
            Ok(granted)
        }
        Err(ref denial) => {
            client.identity = Some(Arc::new(evidence.identity()));
            debug!("{}", decision.why_not(&request));
            let denial = rejected.map_or_else(|| denial.clone(), Denial::Token);
            Err((denial, Why::of(&decision, &request)))
        }
    }
}

/// Adds the session of a client that the rules let in, if there is room for it.
fn register(
    context: &Arc<Context>,
    routes: &Arc<Routes>,
    grant: Grant,
    evidence: &Evidence,
    startup: &Startup,
    tls: Option<&'static str>,
    client: ClientRef,
) -> Result<Admission, NotAdmitted> {
    let name = grant.database.name();
    if context.switches.is_disabled(name) {
        let denial = Denial::Disabled(name.clone());
        return Err(NotAdmitted::denied(client, denial));
    }
    let Some(seat) = context.clients.take() else {
        return Err(NotAdmitted::denied(client, Denial::TooManyClients));
    };
    let settings = match settings(startup) {
        Ok(settings) => settings,
        Err(error) => return Err(NotAdmitted::denied(client, Denial::Parameter(error))),
    };
    // Rules and pools are made from the same configuration.
    let Some(pool) = routes.pool(&grant) else {
        return Err(NotAdmitted::denied(client, Denial::NoPool));
    };
    let added = context.sessions.add(NewSession {
        rule: grant.client.clone(),
        pool,
        user: startup.user.as_str().into(),
        source: client.source.clone(),
        evidence: Arc::new(evidence.clone()),
        application_name: client.application_name.clone(),
        tls,
        version: startup.version.spoken(),
    });
    let handle = match added {
        Ok(handle) => handle,
        Err(why) => {
            let denial = match why {
                NotAdded::TooManyOfRule | NotAdded::TooManyConsoles => Denial::TooManyClients,
                NotAdded::TooManyOfDatabase => {
                    Denial::TooManyClientsOf(grant.database.name().clone())
                }
                NotAdded::NoRandomNumbers => Denial::NoRandomNumbers,
            };
            return Err(NotAdmitted::denied(client, denial));
        }
    };
    if handle.evidence.certificate.is_some() || !Arc::ptr_eq(routes, &context.routes.load()) {
        context.recheck(&handle);
    }
    Ok(Admission {
        session: Session::new(context.clone(), handle, grant.quota),
        client,
        settings,
        seat,
    })
}

/// Adds a session of the console, if there is room for it.
fn register_console(
    context: &Arc<Context>,
    grant: ConsoleGrant,
    evidence: &Evidence,
    startup: &Startup,
    client: ClientRef,
) -> Result<Admitted, NotAdmitted> {
    let added = context.sessions.add_console(NewConsole {
        rule: grant.client,
        user: startup.user.as_str().into(),
        database: startup.database.as_str().into(),
        source: client.source.clone(),
        evidence: Arc::new(evidence.clone()),
        version: startup.version.spoken(),
    });
    match added {
        Ok(handle) => Ok(Admitted::Console { handle, client }),
        Err(NotAdded::NoRandomNumbers) => Err(NotAdmitted::denied(client, Denial::NoRandomNumbers)),
        Err(_) => Err(NotAdmitted::denied(client, Denial::TooManyClients)),
    }
}
