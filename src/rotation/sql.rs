//! The rotator's own connection, and how names and texts are quoted in SQL.
//!
//! The login is that of the pools, with the same rules for TLS and
//! authentication. Statements use the simple protocol: several in one text are one
//! transaction, and ALTER ROLE takes no parameters anyway.

use std::sync::Arc;
use std::time::Duration;

use postgres_protocol::escape::{escape_identifier, escape_literal};
use tokio::time::timeout;

use super::error::SqlError;
use crate::secret::Credential;
use crate::upstream::{self, ConnectError, LoginCache, Server, SessionAttrs, Target, Wishes};
use crate::wire::SettingName;

/// The silence after which a connection counts as lost. The statement_timeout of the session ends a
/// statement long before.
const LOST: Duration = Duration::from_secs(90);

/// What a rotator's session asks for: time limits from its first query on, and a name by which
/// it is told from the connections of pools.
const SETTINGS: [(&str, &str); 4] = [
    ("application_name", "pgvalet rotation"),
    ("statement_timeout", "30s"),
    ("lock_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "0"),
];

pub fn identifier(name: &str) -> String {
    escape_identifier(name)
}

pub fn literal(text: &str) -> String {
    escape_literal(text)
}

/// One connection of a rotator.
pub struct Session {
    server: Server,
    /// The server of the target that it is connected to.
    pub place: Arc<Target>,
}

impl Session {
    /// Logs in where roles can be changed: at the primary, if the target has several servers. A
    /// standby may not know yet which password is valid, so what a standby says never counts. The
    /// session has the role that a client's login would have.
    pub async fn open(
        target: &Arc<Target>,
        credential: &Credential,
        limit: Duration,
    ) -> Result<Self, ConnectError> {
        if target.places.is_empty() {
            return Self::at(target, credential, limit).await;
        }
        let mut failure: Option<ConnectError> = None;
        for place in &target.places {
            match Self::at(place, credential, limit).await {
                Ok(session) => return Ok(session),
                // The primary may be the one that did not answer. A refusal counts
                // only if all have answered.
                Err(e) if failure.as_ref().is_none_or(|f| weight(&e) > weight(f)) => {
                    failure = Some(e);
                }
                Err(_) => {}
            }
        }
        Err(failure.unwrap_or_else(|| ConnectError::Unreachable {
            address: target.to_string(),
            reason: "there is no host".to_owned(),
        }))
    }

    async fn at(
        place: &Arc<Target>,
        credential: &Credential,
        limit: Duration,
    ) -> Result<Self, ConnectError> {
        let mut alone = Target::clone(place);
        alone.attrs = SessionAttrs::Any;
        let place = Arc::new(alone);
        let cache = LoginCache::default();
        let server = Self::log_in(&place, credential, &cache, limit).await?;
        let mut session = Self { server, place };
        let doing = "asking whether this is a standby";
        // Time limits of the role that a start-up packet cannot name, because older
        // versions have none of them, are switched off in the same breath.
        let sql = "SELECT pg_catalog.pg_is_in_recovery(), (SELECT pg_catalog.count(\
                   pg_catalog.set_config(name, '0', false)) FROM pg_catalog.pg_settings \
                   WHERE name OPERATOR(pg_catalog.=) ANY \
                   (ARRAY['idle_session_timeout', 'transaction_timeout']))";
        match session.value(doing, sql).await {
            Ok(answer) if answer == "t" => {
                let address = session.place.to_string();
                session.close().await;
                let wanted = SessionAttrs::ReadWrite.as_str();
                Err(ConnectError::NotWanted { address, wanted })
            }
            // If anything is wrong with it, the next statement shows that.
            _ => Ok(session),
        }
    }

    /// Logs in with time limits of its own: those of the role are for clients, and may
    /// be too short for a rotation.
    async fn log_in(
        place: &Arc<Target>,
        credential: &Credential,
        cache: &LoginCache,
        limit: Duration,
    ) -> Result<Server, ConnectError> {
        let settings = SETTINGS.iter().filter_map(|(name, value)| {
            let name = SettingName::new(name).ok()?;
            Some((name, (*value).into()))
        });
        let wishes = Wishes::new(None, settings.collect());
        let mut abandoned = Vec::new();
        let login =
            upstream::connect_with(place, credential, cache, limit, &wishes, &mut abandoned);
        match login.await {
            // Something on the way lets no settings pass.
            Err(ConnectError::Refused { sqlstate, .. }) if sqlstate == "08P01" => {
                upstream::connect(place, credential, cache, limit).await
            }
            login => login.map(|(server, _)| server),
        }
    }

    /// The rows of a query, as text. `doing` begins the text of an error.
    pub async fn ask(
        &mut self,
        doing: &'static str,
        sql: &str,
    ) -> Result<Vec<Vec<String>>, SqlError> {
        let broken = |reason: String| SqlError::Broken { doing, reason };
        let answers = match timeout(LOST, self.server.exchange(&[sql])).await {
            Ok(Ok(answers)) => answers,
            Ok(Err(e)) => return Err(broken(e.to_string())),
            Err(_) => return Err(broken("no answer".to_owned())),
        };
        match answers.failed {
            None => Ok(answers.rows.into_iter().next().unwrap_or_default()),
            Some(fields) => Err(SqlError::Refused {
                doing,
                hint: hint(&fields.sqlstate),
                sqlstate: fields.sqlstate,
                message: fields.message,
            }),
        }
    }

    /// The first column of the first row; empty where there is none.
    pub async fn value(&mut self, doing: &'static str, sql: &str) -> Result<String, SqlError> {
        let rows = self.ask(doing, sql).await?;
        let first = rows.into_iter().next().unwrap_or_default();
        Ok(first.into_iter().next().unwrap_or_default())
    }

    /// Prepares the session to change roles: with the rights of the user who logged
    /// in, whatever `ALTER ROLE … SET` says, and with a timeout for every wait.
    pub async fn administer(&mut self) -> Result<(), SqlError> {
        let sql = "SET ROLE NONE; SET client_encoding = 'UTF8'; \
                   SET search_path = pg_catalog; SET default_transaction_read_only = off; \
                   SET statement_timeout = '30s'; SET lock_timeout = '10s';";
        self.ask("preparing the session", sql).await.map(|_| ())
    }

    /// Whether this login used md5: then the role's password is stored as md5.
    pub fn is_md5(&self) -> bool {
        self.server.mechanism == "md5"
    }

    pub async fn close(self) {
        self.server.close().await;
    }
}

/// How much the failure of one of several servers tells; the highest is shown.
fn weight(error: &ConnectError) -> u8 {
    match error {
        ConnectError::NotWanted { .. } => 0,
        e if e.is_authentication() => 1,
        _ => 2,
    }
}

fn hint(sqlstate: &str) -> &'static str {
    match sqlstate {
        "42501" => {
            "; the role that rotates needs CREATEROLE, and from Postgres 16 on ADMIN OPTION on the roles it changes (docs/ROTATING.md)"
        }
        "55P03" => "; something else holds the lock",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_quoted() {
        assert_eq!(identifier("App \"x\" Ü"), "\"App \"\"x\"\" Ü\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\'b"), " E'a\\\\''b'");
    }
}
