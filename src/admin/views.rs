//! Clients and server connections as `/clients` and `/servers` show them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::Operations;
use super::console::{holders, server_state};
use crate::session::{Handle, Held, Phase, Refusal};

/// A client. Times are RFC 3339, in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientView {
    /// Of its session, as in the audit log.
    pub id: u64,
    pub client: Arc<str>,
    pub user: Arc<str>,
    pub database: Arc<str>,
    pub source: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub application_name: Option<Arc<str>>,
    /// `active`, `idle in transaction`, `waiting`, `idle`.
    pub state: String,
    pub since: String,
    /// How long it has been in this state, to within half a second.
    pub state_ms: u64,
    /// The process id of the server connection that it holds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub server_pid: Option<i32>,
    /// The version with which that connection logged in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<Arc<str>>,
    /// Whether that version is not in force any more.
    pub old: bool,
    /// What keeps it on its server connection between transactions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pinned: Option<String>,
    /// During an upgrade: the pid of the process before this one, if that serves it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub process: Option<u32>,
}

/// A server connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerConnection {
    pub pid: i32,
    pub database: Arc<str>,
    pub user: Arc<str>,
    pub server: String,
    /// `active`, `idle`, `used`, `tested`, `being_canceled`.
    pub state: String,
    pub since: String,
    pub version: Arc<str>,
    /// Whether it is closed as soon as nobody holds it.
    pub closing: bool,
    /// The session that holds it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_id: Option<u64>,
}

/// A denial, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenialView {
    pub at: String,
    pub source: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub database: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<Arc<str>>,
    pub reason: String,
    pub words: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub meant: Option<String>,
    /// Those that come nearest first.
    pub rules: Vec<RuleView>,
}

/// Why a rule does not match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleView {
    pub rule: usize,
    pub client: Arc<str>,
    pub because: String,
}

/// Every client of this process, in the order in which they came.
pub fn clients(proxy: &dyn Operations, database: Option<&str>) -> Vec<ClientView> {
    let mut sessions = proxy.context().sessions.all();
    sessions.retain(|s| database.is_none_or(|d| **s.database() == *d));
    sessions.sort_by_key(|s| s.id);
    sessions.iter().map(client).collect()
}

fn client(session: &Arc<Handle>) -> ClientView {
    let held = session.held();
    // Only of the few that hold a connection is it asked which version is in force.
    let is_old = |held: &Held| {
        let generations = session.pool.counts().generations;
        let in_force = generations.first();
        in_force.is_some_and(|g| !Arc::ptr_eq(&g.generation, &held.generation))
    };
    let in_state = session.unchanged_since().elapsed().unwrap_or_default();
    ClientView {
        id: session.id,
        client: session.client.clone(),
        user: session.user.clone(),
        database: session.database().clone(),
        source: session.source.clone(),
        application_name: session.application_name.clone(),
        state: state(session).to_owned(),
        since: rfc3339(session.since),
        state_ms: millis(in_state),
        server_pid: held.as_ref().map(|h| h.backend.pid.0),
        version: (held.as_ref()).map(|h| h.generation.credential.version.as_str().into()),
        old: held.as_ref().is_some_and(is_old),
        pinned: session.pinned().map(|pin| pin.as_str().to_owned()),
        process: None,
    }
}

/// The word for what a client does. PgBouncer, and so the console, calls everybody active who
/// holds a server connection; here one sees who only keeps it.
fn state(session: &Handle) -> &'static str {
    match (session.held(), session.phase()) {
        (Some(_), Phase::Transaction) => "idle in transaction",
        (Some(_), Phase::Idle) => "idle",
        (Some(_), Phase::Query | Phase::Elsewhere) => "active",
        (None, Phase::Elsewhere) => "waiting",
        (None, _) => "idle",
    }
}

/// Every server connection, by database.
pub fn servers(proxy: &dyn Operations, database: Option<&str>) -> Vec<ServerConnection> {
    let sessions = proxy.context().sessions.all();
    let holders = holders(&sessions);
    let mut pools = proxy.pools();
    pools.retain(|p| database.is_none_or(|d| *p.name == *d));
    pools.sort_by_key(|p| (p.name.clone(), p.secret.clone()));
    let mut all = Vec::new();
    for pool in pools {
        for server in pool.servers() {
            let backend = &server.connection.backend;
            let holder = holders.get(&Arc::as_ptr(backend));
            let credential = &server.generation.credential;
            all.push(ServerConnection {
                pid: backend.pid.0,
                database: pool.name.clone(),
                user: credential.username.as_str().into(),
                server: backend.target.to_string(),
                state: server_state(&server, holder.is_some()).to_owned(),
                since: rfc3339(server.connection.since),
                version: credential.version.as_str().into(),
                closing: server.is_outdated,
                client_id: holder.map(|h| h.id),
            });
        }
    }
    all
}

pub fn denial(refusal: &Refusal) -> DenialView {
    let rules = refusal.why.rules.iter();
    DenialView {
        at: rfc3339(refusal.at),
        source: refusal.client.source.clone(),
        database: refusal.client.database.clone(),
        user: refusal.client.requested_user.clone(),
        reason: refusal.reason.to_owned(),
        words: refusal.words.to_owned(),
        meant: refusal.why.meant.clone(),
        rules: rules
            .map(|r| RuleView {
                rule: r.number,
                client: r.name.clone(),
                because: r.because.clone(),
            })
            .collect(),
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn rfc3339(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Millis, true)
}
