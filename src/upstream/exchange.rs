//! Questions of pgvalet's own on a server connection that is at rest, and the
//! proof that it owes nobody an answer afterwards.
//!
//! Every exchange ends with a fence: a query for a value that nobody can foresee.
//! The connection is known to be quiet only if that value comes back as the next
//! and only answer behind those to the questions. A connection on which something
//! else is still running, or on which answers were miscounted, fails that test,
//! whoever brought that about.

mod reading;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Fence, Quiet, Server};
use crate::wire::Frame;
use crate::wire::message::{self, ErrorFields};
use crate::wire::sql::LIMITS;
use crate::wire::tag::backend as tag;
use reading::Reading;

/// The rows that one query has answered, as text.
pub type Rows = Vec<Vec<String>>;

/// What came back from the questions of an exchange.
#[derive(Debug)]
pub struct Answers {
    /// The rows of each query.
    pub rows: Vec<Rows>,
    /// Why the first query failed that did.
    pub failed: Option<ErrorFields>,
    pub quiet: Quiet,
}

/// Asks for what DISCARD ALL leaves: a temporary replication slot ends only with its connection.
const STAYS: &str = "\
SELECT FROM pg_catalog.pg_replication_slots s \
WHERE s.temporary AND s.active_pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() LIMIT 1";

/// Why a question of pgvalet's own has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("the server broke the protocol")]
    Protocol,
    /// The connection holds something that ends only with it.
    #[error("the connection has a temporary replication slot")]
    Stays,
    /// The server answered with an error; the connection is at rest.
    #[error("{}: {}", .0.sqlstate, .0.message)]
    Refused(ErrorFields),
}

/// The largest message that answers a question of pgvalet's, in bytes: the value
/// of a setting may be long (a `search_path`, what an application keeps in one of
/// its own), but not without bound.
const MAX_ANSWER: usize = 16 << 20;

/// The statement in front of every question that needs a snapshot: a client may have asked for
/// transactions that wait for a safe one, which may take any time.
pub const AT_ONCE: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, NOT DEFERRABLE; ";

impl Server {
    /// Sends queries of pgvalet's own, each a simple query, and a fence behind
    /// them; waits for all of it.
    ///
    /// # Errors
    /// [`QueryError`], but never `Refused`: that a query failed stands in the
    /// answers. The connection is good for nothing any more.
    pub async fn exchange(&mut self, queries: &[&str]) -> Result<Answers, QueryError> {
        let fence = Fence::new();
        let mut out = Vec::new();
        for sql in queries {
            match sql.starts_with("SELECT") {
                true => message::query(&mut out, &format!("{AT_ONCE}{sql}")),
                false => message::query(&mut out, sql),
            }
        }
        message::query(&mut out, &format!("{AT_ONCE}{}", fence.sql()));
        self.stream.write_all(&out).await?;
        self.stream.flush().await?;
        let mut reading = Reading::new(queries.len(), fence);
        let mut buffer = Vec::with_capacity(1024);
        // Behind the last answer there may be messages that a server sends at any
        // time: they are read to their end.
        while !reading.done() || !buffer.is_empty() {
            let mut chunk = [0; 1024];
            let n = self.stream.read(&mut chunk).await?;
            if n == 0 {
                return Err(QueryError::Closed);
            }
            buffer.extend_from_slice(&chunk[..n]);
            let mut at = 0;
            while let Some(frame) = Frame::read(&buffer[at..]).map_err(|_| QueryError::Protocol)? {
                let at_any_time = matches!(
                    frame.tag,
                    tag::NOTIFICATION_RESPONSE | tag::NOTICE_RESPONSE | tag::PARAMETER_STATUS
                );
                if frame.len > MAX_ANSWER || (reading.done() && !at_any_time) {
                    return Err(QueryError::Protocol);
                }
                let Some(bytes) = buffer.get(at..at + frame.len) else {
                    break;
                };
                match frame.tag {
                    tag::PARAMETER_STATUS => {
                        if let Some((name, value)) = message::read_parameter_status(bytes) {
                            self.reported.set(name, value);
                        }
                    }
                    tag::NOTIFICATION_RESPONSE => self.heard.push(bytes.into()),
                    tag::NOTICE_RESPONSE => {}
                    _ => reading.message(frame.tag, bytes)?,
                }
                at += frame.len;
            }
            buffer.drain(..at);
        }
        Ok(Answers {
            rows: reading.rows,
            failed: reading.failed,
            quiet: Quiet::after_fence(),
        })
    }

    /// Brings a connection that is at ReadyForQuery back to the state of a
    /// fresh login. `in_transaction`: end the transaction first, because
    /// DISCARD ALL refuses to run inside one.
    ///
    /// # Errors
    /// [`QueryError`]; the connection is to be closed.
    pub async fn clean(&mut self, in_transaction: bool) -> Result<Quiet, QueryError> {
        // DISCARD ALL takes a snapshot, too, and has to be alone in its query.
        let no_limits = format!(
            "{}; SET default_transaction_deferrable = off",
            self.no_limits()
        );
        // DISCARD ALL leaves the seed: a client that has set it could foretell what
        // random() gives to the next client.
        let seed = format!("SELECT pg_catalog.setseed({})", random_seed());
        let queries = [
            in_transaction.then_some("ROLLBACK"),
            Some(&*no_limits),
            Some("DISCARD ALL"),
            Some(&*seed),
            Some(STAYS),
        ];
        let queries: Vec<&str> = queries.into_iter().flatten().collect();
        let answers = self.exchange(&queries).await?;
        self.heard = Vec::new(); // the client that they were for has gone
        if answers.rows.last().is_some_and(|rows| !rows.is_empty()) {
            return Err(QueryError::Stays);
        }
        match answers.failed {
            None => Ok(answers.quiet),
            Some(fields) => Err(QueryError::Refused(fields)),
        }
    }

    /// Names of the time limits that this server's version has. A client may have
    /// set them, and they would end what pgvalet itself asks.
    pub fn limits(&self) -> &'static [&'static str] {
        match self.major_version() {
            ..14 => &LIMITS[..2],
            14..17 => &LIMITS[..3],
            _ => &LIMITS,
        }
    }

    /// SQL that takes the time limits out of force, for good.
    pub fn no_limits(&self) -> String {
        let set = |name: &&str| format!("SET {name} = 0");
        let all: Vec<String> = self.limits().iter().map(set).collect();
        all.join("; ")
    }

    /// 15 for `15.4 (Debian …)`; 0 where the server does not say.
    fn major_version(&self) -> u32 {
        let version = self.reported.get("server_version").unwrap_or_default();
        let digits = version.find(|c: char| !c.is_ascii_digit());
        version[..digits.unwrap_or(version.len())]
            .parse()
            .unwrap_or(0)
    }
}

/// A random number from -1 to 1, as `setseed` wants it.
fn random_seed() -> f64 {
    let (_, low) = uuid::Uuid::new_v4().as_u64_pair();
    // 53 bits, which a number of this kind holds exactly.
    let unit = (low << 2 >> 11) as f64 / (1u64 << 53) as f64;
    unit * 2.0 - 1.0
}

#[cfg(test)]
mod tests;
