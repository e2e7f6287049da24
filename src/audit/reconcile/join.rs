//! What is in one log and not in the other.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::evidence::{Connection, Evidence, Span};
use super::postgres::{PostgresLine, Wanted};

/// Postgres cuts its times to milliseconds, and writes a line a moment after or before pgvalet
/// does.
const NEAR: TimeDelta = TimeDelta::milliseconds(3);

/// How long a login may take from Postgres's line to the record.
const LOGIN: TimeDelta = TimeDelta::seconds(60);

/// What the comparison has found.
#[derive(Debug, Default, Serialize)]
pub struct Reconciled {
    /// Logins that Postgres tells of, and those of them that have their `server.open`.
    pub logins: u64,
    pub logins_found: u64,
    /// Logins while a rotation was at work, which has connections of its own.
    pub logins_of_rotations: u64,
    /// Statements that Postgres tells of, and how many are of each client with each version.
    pub statements: u64,
    pub by_client: BTreeMap<String, u64>,
    /// Statements between leases: what pgvalet itself asks and cleans.
    pub own: u64,
    /// Lines that could not be told, and records that Postgres has no line for.
    pub left: Vec<Left>,
}

/// Something that is in one log only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Where it stands.
    pub place: String,
    pub why: String,
}

/// Compares the lines of Postgres's log with the audit log.
pub fn reconcile(evidence: &Evidence, lines: &[PostgresLine]) -> Reconciled {
    let mut join = Join {
        evidence,
        found: Reconciled::default(),
        seen: HashSet::new(),
    };
    for line in lines {
        match &line.wanted {
            Wanted::Authorized => join.login(line),
            Wanted::Statement(text) => join.statement(line, text),
        }
    }
    join.records_without_lines(lines);
    join.found
}

struct Join<'a> {
    evidence: &'a Evidence,
    found: Reconciled,
    /// The connections that Postgres tells of, by process id and place in the list.
    seen: HashSet<(i32, usize)>,
}

impl<'a> Join<'a> {
    fn login(&mut self, line: &PostgresLine) {
        self.found.logins += 1;
        let connections = self.evidence.connections.get(&line.pid);
        let mut connections = connections.into_iter().flatten().enumerate();
        // The record is written when the login has ended.
        let is_one = |(n, c): &(usize, &Connection)| {
            c.opened >= line.time - NEAR
                && c.opened - line.time <= LOGIN
                && !self.seen.contains(&(line.pid, *n))
        };
        if let Some((n, _)) = connections.find(is_one) {
            self.seen.insert((line.pid, n));
            self.found.logins_found += 1;
            return;
        }
        let mut rotations = self.evidence.rotations.iter();
        if rotations.any(|(from, until)| (*from..=*until).contains(&line.time)) {
            self.found.logins_of_rotations += 1;
            return;
        }
        self.left(
            line,
            format!("the login of \"{}\" has no server.open", line.user),
        );
    }

    fn statement(&mut self, line: &PostgresLine, text: &str) {
        self.found.statements += 1;
        let Some(connection) = self.connection(line) else {
            let mut rotations = self.evidence.rotations.iter();
            if rotations.any(|(from, until)| (*from..=*until).contains(&line.time)) {
                self.found.own += 1;
                return;
            }
            let why = format!(
                "a statement of \"{}\" on no connection of pgvalet's",
                line.user
            );
            return self.left(line, why);
        };
        let clients = self.clients(line, connection);
        let unrecorded = self.unrecorded(line, connection, &clients);
        let client = match clients.len() {
            _ if unrecorded.is_some() => unrecorded,
            0 => {
                self.found.own += 1;
                return;
            }
            1 => clients.first().copied(),
            _ => match shown(&clients, &line.application_name) {
                // Between two clients it cleans the connection, and sets what the next expects.
                None if is_own(text) => {
                    self.found.own += 1;
                    return;
                }
                client => client,
            },
        };
        match client {
            Some(client) => {
                let with = format!("{client} with {} {}", connection.secret, connection.version);
                *self.found.by_client.entry(with).or_default() += 1;
            }
            None => {
                let clients = Vec::from_iter(clients).join(", ");
                let text: String = text.chars().take(60).collect();
                self.left(line, format!("{text:?} may be of {clients}; [audit] leases = true and an application_name with {{client}} tell them apart"));
            }
        }
    }

    /// The connection on which a line was logged.
    fn connection(&self, line: &PostgresLine) -> Option<&'a Connection> {
        let connections = self.evidence.connections.get(&line.pid)?;
        // Settings may be made in the login, before that is recorded.
        connections.iter().rev().find(|c| {
            c.opened - LOGIN <= line.time
                && c.closed.is_none_or(|closed| line.time <= closed + NEAR)
        })
    }

    /// The clients that may have sent it.
    fn clients(&self, line: &PostgresLine, connection: &Connection) -> BTreeSet<&'a str> {
        let within = |span: &&Span| {
            span.from - NEAR <= line.time && span.until.is_none_or(|u| line.time <= u + NEAR)
        };
        let of = |spans: Option<&'a Vec<Span>>| -> BTreeSet<&'a str> {
            let spans = spans.into_iter().flatten().filter(within);
            spans.map(|span| span.client.as_str()).collect()
        };
        let leases = self.evidence.leases.get(&line.pid);
        let by_lease = of(leases);
        if !by_lease.is_empty() {
            return by_lease;
        }
        // Of a process that was killed, the last leases have no record; and there are none where
        // they are not wanted.
        let last = leases.and_then(|l| l.last()).and_then(|l| l.until);
        let known = last.is_some_and(|last| line.time <= last || connection.closed.is_some());
        if known {
            BTreeSet::new()
        } else {
            of(self.evidence.sessions.get(&line.pid))
        }
    }

    /// The client whose lease of this connection has no record, because its process was killed
    /// before that could be written, or the lease goes on. Each such session of the process may
    /// have had the connection, and the clients before as well: the name that Postgres was shown
    /// has to tell.
    fn unrecorded(
        &self,
        line: &PostgresLine,
        connection: &Connection,
        recorded: &BTreeSet<&'a str>,
    ) -> Option<&'a str> {
        let leases = self.evidence.leases.get(&line.pid);
        let last = leases.and_then(|leases| leases.last()?.until);
        // A record is written when a lease has ended.
        let after_all = last.is_none_or(|last| line.time >= last - NEAR);
        if connection.closed.is_some() || !after_all {
            return None;
        }
        let endless = self.evidence.endless.get(&connection.proxy);
        let endless = endless.into_iter().flatten();
        let begun = endless.filter(|session| session.from - NEAR <= line.time);
        let mut clients: BTreeSet<&str> = begun.map(|session| &*session.client).collect();
        clients.extend(recorded);
        shown(&clients, &line.application_name)
    }

    /// Every `server.open` in the time of Postgres's log has a line there.
    fn records_without_lines(&mut self, lines: &[PostgresLine]) {
        let logins = lines.iter().filter(|l| l.wanted == Wanted::Authorized);
        let times: Vec<DateTime<Utc>> = logins.map(|l| l.time).collect();
        let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) else {
            return;
        };
        let mut missing = Vec::new();
        for (pid, connections) in &self.evidence.connections {
            for (n, connection) in connections.iter().enumerate() {
                let in_time = (*first..=*last).contains(&connection.opened);
                if in_time && !self.seen.contains(&(*pid, n)) {
                    missing.push((connection.opened, *pid, connection));
                }
            }
        }
        missing.sort_by_key(|(opened, pid, _)| (*opened, *pid));
        for (opened, pid, connection) in missing {
            self.found.left.push(Left {
                place: format!("audit log, {opened}, {}", connection.proxy),
                why: format!(
                    "Postgres tells of no login of \"{}\" with process id {pid}",
                    connection.user
                ),
            });
        }
    }

    fn left(&mut self, line: &PostgresLine, why: String) {
        let place = format!("{}:{}", line.file.display(), line.line);
        self.found.left.push(Left { place, why });
    }
}

/// Whether a statement is one with which pgvalet cleans a connection, or sets it up for the next
/// client.
fn is_own(text: &str) -> bool {
    const OWN: [&str; 6] = [
        "SET statement_timeout = 0; SET lock_timeout = 0; ",
        "SELECT pg_catalog.setseed(",
        "SET TRANSACTION ISOLATION LEVEL ",
        "SET \"",
        "RESET \"",
        "DISCARD ALL",
    ];
    OWN.iter().any(|own| text.starts_with(own))
}

/// The one of the clients that an application_name names, as a word of its own.
fn shown<'a>(clients: &BTreeSet<&'a str>, name: &str) -> Option<&'a str> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let names = |client: &str| {
        name.match_indices(client).any(|(at, _)| {
            let before = name[..at].chars().next_back();
            let after = name[at + client.len()..].chars().next();
            !before.is_some_and(is_part) && !after.is_some_and(is_part)
        })
    };
    let mut named = clients.iter().filter(|client| names(client));
    match (named.next(), named.next()) {
        (Some(client), None) => Some(client),
        _ => None,
    }
}
