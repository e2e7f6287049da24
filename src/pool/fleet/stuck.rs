//! Why the share of a replica cannot be kept, or does not grow: what a person has to see to.

use std::collections::BTreeSet;
use std::fmt;
use std::time::SystemTime;

use super::sql::{Locks, Question, holder};
use crate::upstream::{QueryError, Server};
use crate::wire::message::ErrorFields;

/// What stands in the way of the share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hindrance {
    /// The role may not do what it takes; the server's words.
    Denied(String),
    /// Somebody holds the lock of the turn.
    Turn(String),
    /// Something else; in words.
    Failed(String),
}

impl Hindrance {
    pub(super) fn of(error: &QueryError) -> Self {
        match error {
            QueryError::Refused(fields) => Self::refused(fields),
            error => Self::Failed(error.to_string()),
        }
    }

    pub(super) fn refused(fields: &ErrorFields) -> Self {
        let said = format!("{} ({})", fields.message, fields.sqlstate);
        match fields.sqlstate.as_str() {
            "42501" => Self::Denied(said),
            _ => Self::Failed(said),
        }
    }

    /// What to do about it. `role`: the one that logs in.
    pub fn remedy(&self, role: &str) -> String {
        match self {
            Self::Denied(_) => format!(
                "grant what everybody may unless it was revoked: GRANT SELECT ON pg_catalog.pg_locks, pg_catalog.pg_stat_activity TO \"{role}\", and EXECUTE on the functions of advisory locks"
            ),
            Self::Turn(_) => "end that session (pg_terminate_backend), and keep roles that are not trusted out of the database".to_owned(),
            Self::Failed(_) => "see to the database server; pgvalet tries again by itself".to_owned(),
        }
    }
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(said) => write!(
                f,
                "the role may not read which connections and locks there are: {said}"
            ),
            Self::Turn(holder) => write!(
                f,
                "the advisory lock under which shares grow is held by {holder}"
            ),
            Self::Failed(said) => f.write_str(said),
        }
    }
}

/// What has stood in the way of the share since then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    pub since: SystemTime,
    pub why: Hindrance,
}

impl Stuck {
    /// The same hindrance goes on, or another one begins.
    pub(super) fn next(before: Option<&Self>, why: Hindrance) -> Self {
        let since = before.map_or_else(SystemTime::now, |before| before.since);
        Self { since, why }
    }
}

/// Tries whether a share of a database's `fleet_size` could be kept by this session, whose role
/// is `role`, without taking one.
///
/// # Errors
/// What stands in the way.
pub async fn try_share(server: &mut Server, database: &str, role: &str) -> Result<(), Hindrance> {
    let locks = Locks::of(database);
    let question = Question {
        locks,
        of: 1,
        share: 0,
        upto: 0,
        mine: &[],
        roles: &BTreeSet::from([role.to_owned()]),
        trusted: None,
    };
    ask(server, &question.sql()).await?;
    let turn = format!(
        "SET lock_timeout = '2s'; SELECT pg_catalog.pg_advisory_xact_lock({}, 0)",
        locks.turn
    );
    match ask(server, &turn).await {
        Err(Refusal::LockHeld) => {
            let holder = ask(server, &holder(locks.turn)).await?;
            match holder {
                Some(holder) => Err(Hindrance::Turn(holder)),
                None => Ok(()), // it has gone
            }
        }
        done => Ok(done.map(drop)?),
    }
}

enum Refusal {
    LockHeld,
    Other(Hindrance),
}

impl From<Refusal> for Hindrance {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::LockHeld => Self::Turn("another session".to_owned()),
            Refusal::Other(why) => why,
        }
    }
}

/// The first column of the first row.
async fn ask(server: &mut Server, sql: &str) -> Result<Option<String>, Refusal> {
    let answers = server.exchange(&[sql]).await;
    let answers = answers.map_err(|e| Refusal::Other(Hindrance::of(&e)))?;
    match answers.failed {
        Some(fields) if fields.sqlstate == "55P03" => Err(Refusal::LockHeld),
        Some(fields) => Err(Refusal::Other(Hindrance::refused(&fields))),
        None => Ok(answers.rows.into_iter().flatten().flatten().next()),
    }
}
