//! Questions of pgvalet's own on a server connection that is at rest, and the
//! proof that it owes nobody an answer afterwards.
//!
//! Every exchange ends with a fence: a query for a value that nobody can
//! foresee. Only if that value comes back as the next and only answer behind
//! the questions', the connection is known to be quiet. A connection on which
//! something else is still running, or on which answers were miscounted, fails
//! that test whoever arranged it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Server;
use crate::wire::message::{self, ErrorFields};
use crate::wire::sql::LIMITS;
use crate::wire::tag::{backend as tag, status};
use crate::wire::{Frame, HEADER};

/// Proof that a server connection is idle, outside a transaction, and owes
/// nobody an answer. Nothing but a proof lets a connection reach another client.
#[derive(Debug)]
#[must_use = "a connection without its proof is closed"]
pub struct Quiet(());

impl Quiet {
    /// A login has reached its first ReadyForQuery: nothing was asked yet.
    pub(super) fn after_login() -> Self {
        Self(())
    }

    /// By the accounts of a conversation. `owed`: an answer is awaited, or a
    /// message is not complete. `certain`: no answer has come that was not
    /// expected, and nothing happened that leaves doubt which are still to come.
    pub fn by_accounts(owed: bool, certain: bool, status: u8) -> Option<Self> {
        (!owed && certain && status == status::IDLE).then_some(Self(()))
    }

    /// For connections that a test has made up.
    #[cfg(any(test, feature = "bench"))]
    pub fn for_tests() -> Self {
        Self(())
    }
}

/// A query for a value that nobody can foresee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    column: String,
}

impl Fence {
    pub fn new() -> Self {
        let nonce = uuid::Uuid::new_v4().simple();
        let column = format!("pgvalet_{nonce}");
        Self { column }
    }

    /// The value stands in the name of the column, so that it comes before
    /// anything else of the answer.
    pub fn sql(&self) -> String {
        format!("SELECT 1 AS {}", self.column)
    }

    /// Whether a RowDescription, header included, is the beginning of the answer.
    pub fn is_answered_by(&self, message: &[u8]) -> bool {
        message.first() == Some(&tag::ROW_DESCRIPTION)
            && message
                .get(HEADER + 2..)
                .and_then(crate::wire::frame::cstr)
                .is_some_and(|name| name == self.column.as_bytes())
    }
}

impl Default for Fence {
    fn default() -> Self {
        Self::new()
    }
}

/// The rows that one query has answered, as text.
pub type Rows = Vec<Vec<String>>;

/// What came back from the questions of an exchange.
#[derive(Debug)]
pub struct Answers {
    /// One entry for each query.
    pub rows: Vec<Rows>,
    /// Why the first query failed that did.
    pub failed: Option<ErrorFields>,
    pub quiet: Quiet,
}

#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("the server broke the protocol")]
    Protocol,
    /// The server answered with an error; the connection is at rest.
    #[error("{}: {}", .0.sqlstate, .0.message)]
    Refused(ErrorFields),
}

/// A message in answer to a question of pgvalet's is no larger: the value of a
/// setting may be long (a `search_path`, what an application keeps in one of
/// its own), but not without bound.
const MAX_ANSWER: usize = 16 << 20;

/// Stands in front of whatever reads: a client may have asked for transactions
/// that wait for a safe snapshot, which takes as long as it takes.
const AT_ONCE: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, NOT DEFERRABLE; ";

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
            message::query(&mut out, sql);
        }
        message::query(&mut out, &format!("{AT_ONCE}{}", fence.sql()));
        self.stream.write_all(&out).await?;
        self.stream.flush().await?;
        let mut reading = Reading::new(queries.len(), fence);
        let mut buffer = Vec::with_capacity(1024);
        // Behind the last answer there may be what the server says at any time,
        // and that is read to its end.
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
            quiet: Quiet(()),
        })
    }

    /// Brings a connection that is at ReadyForQuery back to the state of a
    /// fresh login. `in_transaction`: end the transaction first, because
    /// DISCARD ALL refuses to run inside one.
    ///
    /// # Errors
    /// [`QueryError`]; the connection is to be closed.
    pub async fn clean(&mut self, in_transaction: bool) -> Result<Quiet, QueryError> {
        let no_limits = self.no_limits();
        // Not among what DISCARD ALL discards: whoever has set the seed could
        // foretell what random() gives to the next.
        let seed = format!("SELECT pg_catalog.setseed({})", random_seed());
        let queries = [
            in_transaction.then_some("ROLLBACK"),
            Some(&*no_limits),
            Some("DISCARD ALL"),
            Some(&*seed),
        ];
        let queries: Vec<&str> = queries.into_iter().flatten().collect();
        let answers = self.exchange(&queries).await?;
        self.heard = Vec::new(); // whom they were for has gone
        match answers.failed {
            None => Ok(answers.quiet),
            Some(fields) => Err(QueryError::Refused(fields)),
        }
    }

    /// The time limits under which a client may have put the session, and that
    /// would end what pgvalet itself asks: none of them is a second old before
    /// this server's version.
    pub fn limits(&self) -> &'static [&'static str] {
        match self.major_version() {
            ..14 => &LIMITS[..2],
            14..17 => &LIMITS[..3],
            _ => &LIMITS,
        }
    }

    /// Takes the limits out of force, for good.
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

/// From -1 to 1, as `setseed` wants it.
fn random_seed() -> f64 {
    let (_, low) = uuid::Uuid::new_v4().as_u64_pair();
    // 53 bits, which a number of this kind holds exactly.
    let unit = (low << 2 >> 11) as f64 / (1u64 << 53) as f64;
    unit * 2.0 - 1.0
}

/// The answers of an exchange as they come in.
struct Reading {
    rows: Vec<Rows>,
    failed: Option<ErrorFields>,
    /// Queries whose ReadyForQuery has come.
    ready: usize,
    fence: Fence,
    stage: Stage,
}

#[derive(PartialEq, Eq)]
enum Stage {
    Questions,
    /// The fence is next.
    Fence,
    /// Its answer has begun.
    Fenced,
    Done,
}

impl Reading {
    fn new(queries: usize, fence: Fence) -> Self {
        Self {
            rows: vec![Rows::new(); queries],
            failed: None,
            ready: 0,
            fence,
            stage: match queries {
                0 => Stage::Fence,
                _ => Stage::Questions,
            },
        }
    }

    fn done(&self) -> bool {
        self.stage == Stage::Done
    }

    fn message(&mut self, tag: u8, bytes: &[u8]) -> Result<(), QueryError> {
        let idle = bytes.get(HEADER) == Some(&status::IDLE);
        self.stage = match (&self.stage, tag) {
            (Stage::Questions, tag::READY_FOR_QUERY) => {
                self.ready += 1;
                match self.ready == self.rows.len() {
                    true => Stage::Fence,
                    false => Stage::Questions,
                }
            }
            (
                Stage::Questions,
                tag::ROW_DESCRIPTION | tag::COMMAND_COMPLETE | tag::EMPTY_QUERY_RESPONSE,
            ) => Stage::Questions,
            (Stage::Questions, tag::DATA_ROW) => {
                if let Some(rows) = self.rows.get_mut(self.ready) {
                    rows.push(message::read_row(bytes));
                }
                Stage::Questions
            }
            (Stage::Questions, tag::ERROR_RESPONSE) => {
                let fields = ErrorFields::read(bytes);
                if fields.is_fatal() {
                    return Err(QueryError::Refused(fields));
                }
                self.failed.get_or_insert(fields);
                Stage::Questions
            }
            // Of the SET in front of it.
            (Stage::Fence, tag::COMMAND_COMPLETE) if message::read_command_tag(bytes) == b"SET" => {
                Stage::Fence
            }
            (Stage::Fence, tag::ROW_DESCRIPTION) if self.fence.is_answered_by(bytes) => {
                Stage::Fenced
            }
            (Stage::Fenced, tag::DATA_ROW | tag::COMMAND_COMPLETE) => Stage::Fenced,
            (Stage::Fenced, tag::READY_FOR_QUERY) if idle => Stage::Done,
            _ => return Err(QueryError::Protocol),
        };
        Ok(())
    }
}
