//! An established, logged-in server connection.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::Target;
use crate::net::Stream;
use crate::wire::message;

/// The pid of a Postgres backend; not to be mixed up with the pid that
/// pgvalet shows to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BackendPid(pub i32);

impl fmt::Display for BackendPid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What it takes to cancel a backend, shared with whoever may have to.
pub struct Backend {
    pub pid: BackendPid,
    pub(super) key: Box<[u8]>,
    pub target: Arc<Target>,
    /// Where it is; `None` behind a unix socket.
    pub(super) address: Option<SocketAddr>,
    cancels: AtomicUsize,
    landed: Notify,
}

impl Backend {
    pub(super) fn new(
        pid: BackendPid,
        key: Box<[u8]>,
        target: Arc<Target>,
        address: Option<SocketAddr>,
    ) -> Self {
        Self {
            pid,
            key,
            target,
            address,
            cancels: AtomicUsize::new(0),
            landed: Notify::new(),
        }
    }

    /// To be called before the cancel is sent, while the lease it is meant for
    /// still stands.
    pub fn cancel_begins(&self) {
        self.cancels.fetch_add(1, Ordering::AcqRel);
    }

    pub fn cancel_landed(&self) {
        self.cancels.fetch_sub(1, Ordering::AcqRel);
        self.landed.notify_waiters();
    }

    /// A cancel on its way would hit whatever runs next: such a backend must
    /// not be handed to anyone (pgbouncer#717).
    pub fn has_cancel_in_flight(&self) -> bool {
        self.cancels.load(Ordering::Acquire) > 0
    }

    pub async fn cancels_landed(&self) {
        loop {
            let landed = self.landed.notified();
            if !self.has_cancel_in_flight() {
                return;
            }
            landed.await;
        }
    }
}

/// A connection that has reached its first ReadyForQuery.
pub struct Server {
    pub stream: Stream,
    pub backend: Arc<Backend>,
    /// The values of ParameterStatus, as last reported.
    pub reported: BTreeMap<Box<str>, Box<str>>,
    /// NotificationResponses that came while pgvalet asked something.
    pub heard: Vec<Box<[u8]>>,
    /// Whether it said at the login that it is a standby; `None` before
    /// Postgres 14.
    pub(super) was_standby: Option<bool>,
    pub opened_at: Instant,
    /// `scram-sha-256-plus`, `scram-sha-256`, `md5`, `cleartext` or `trust`.
    pub mechanism: &'static str,
}

/// A message in answer to a question of pgvalet's is no larger: the value of a
/// setting may be long (a `search_path`, what an application keeps in one of
/// its own), but not without bound.
const MAX_ANSWER: usize = 16 << 20;

/// How long a closing server may take to go away before it is forgotten.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What ParameterStatus says about being a standby.
pub(super) fn standby(reported: &BTreeMap<Box<str>, Box<str>>) -> Option<bool> {
    reported.get("in_hot_standby").map(|v| &**v == "on")
}

impl Server {
    /// Whether it has been promoted since the login.
    pub fn has_changed_role(&self) -> bool {
        self.was_standby != standby(&self.reported)
    }

    /// Says goodbye and waits until the server has closed the socket. Postgres
    /// removes a backend from its tables before that, so that once this
    /// returns, the connection no longer counts anywhere.
    pub async fn close(mut self) {
        let mut bye = Vec::new();
        message::terminate(&mut bye);
        let gone = async {
            self.stream.write_all(&bye).await?;
            self.stream.flush().await?;
            let mut rest = [0; 1024];
            while self.stream.read(&mut rest).await? > 0 {}
            std::io::Result::Ok(())
        };
        // An error means that it is gone already.
        let _ = timeout(CLOSE_TIMEOUT, gone).await;
    }

    /// Brings a connection that is at ReadyForQuery back to the state of a
    /// fresh login. `in_transaction`: end the transaction first, because
    /// DISCARD ALL refuses to run inside one.
    pub async fn clean(&mut self, in_transaction: bool) -> Result<(), CleanError> {
        let mut out = Vec::new();
        let mut expected = 1;
        if in_transaction {
            message::query(&mut out, "ROLLBACK");
            expected += 1;
        }
        message::query(&mut out, "DISCARD ALL");
        let cleaned = self.run(&out, expected).await.map(|_| ());
        self.heard = Vec::new(); // whom they were for has gone
        cleaned
    }

    /// One query of pgvalet's own; its rows as text.
    pub async fn ask(&mut self, sql: &str) -> Result<Vec<Vec<String>>, CleanError> {
        let mut out = Vec::new();
        message::query(&mut out, sql);
        self.run(&out, 1).await
    }

    /// Sends queries of pgvalet's own and waits for `expected` ReadyForQuery,
    /// all of them idle and none of them after an error.
    pub async fn run(
        &mut self,
        queries: &[u8],
        expected: usize,
    ) -> Result<Vec<Vec<String>>, CleanError> {
        let mut rows = Vec::new();
        self.stream.write_all(queries).await?;
        self.stream.flush().await?;
        let mut buffer = Vec::with_capacity(1024);
        let mut ready = 0;
        let mut failed = None;
        // Behind the last answer there may be what the server says at any time,
        // and that is read to its end. Anything else would be taken for the
        // answer to a client's question.
        while ready < expected || !buffer.is_empty() {
            let mut chunk = [0; 1024];
            let n = self.stream.read(&mut chunk).await?;
            if n == 0 {
                return Err(CleanError::Closed);
            }
            buffer.extend_from_slice(&chunk[..n]);
            let mut at = 0;
            while let Some(frame) =
                crate::wire::Frame::read(&buffer[at..]).map_err(|_| CleanError::Protocol)?
            {
                let at_any_time = matches!(frame.tag, b'A' | b'N' | b'S');
                if frame.len > MAX_ANSWER || (ready == expected && !at_any_time) {
                    return Err(CleanError::Protocol);
                }
                let Some(bytes) = buffer.get(at..at + frame.len) else {
                    break;
                };
                match frame.tag {
                    // Nobody has asked for anything else.
                    tag if ready == expected && !b"ANS".contains(&tag) => {
                        return Err(CleanError::Protocol);
                    }
                    b'Z' => {
                        ready += 1;
                        if ready == expected && bytes.get(5) != Some(&b'I') {
                            return Err(CleanError::Protocol);
                        }
                    }
                    b'S' => {
                        if let Some((name, value)) = message::read_parameter_status(bytes) {
                            self.reported.insert(name.into(), value.into());
                        }
                    }
                    b'A' => self.heard.push(bytes.into()),
                    b'D' => rows.push(message::read_row(bytes)),
                    b'E' => failed = Some(message::ErrorFields::read(bytes)),
                    _ => {}
                }
                at += frame.len;
            }
            buffer.drain(..at);
        }
        match failed {
            None => Ok(rows),
            Some(fields) => Err(CleanError::Refused(fields)),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("the server broke the protocol")]
    Protocol,
    #[error("{}: {}", .0.sqlstate, .0.message)]
    Refused(message::ErrorFields),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Socket;
    use crate::upstream::tests::target;
    use tokio::net::{TcpListener, TcpStream};

    /// A connection to a server that answers one query with these bytes.
    async fn answering(answer: Vec<u8>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut question = [0; 64];
            assert!(socket.read(&mut question).await.unwrap() > 0);
            socket.write_all(&answer).await.unwrap();
            // Kept open: an end of the stream must not stand in for an answer.
            std::future::pending::<()>().await;
        });
        let socket = TcpStream::connect(address).await.unwrap();
        let target = target(address.port());
        Server {
            stream: Stream::Plain(Socket::tcp(socket).unwrap()),
            backend: Arc::new(Backend::new(
                BackendPid(1),
                Box::default(),
                Arc::new(target),
                None,
            )),
            reported: BTreeMap::new(),
            heard: Vec::new(),
            was_standby: None,
            opened_at: Instant::now(),
            mechanism: "trust",
        }
    }

    fn row(value: &str) -> Vec<u8> {
        let mut out = vec![b'D'];
        out.extend((value.len() as u32 + 10).to_be_bytes());
        out.extend(1u16.to_be_bytes());
        out.extend((value.len() as u32).to_be_bytes());
        out.extend(value.as_bytes());
        out
    }

    fn ready(mut before: Vec<u8>) -> Vec<u8> {
        message::ready_for_query(&mut before, b'I');
        before
    }

    #[tokio::test]
    async fn a_long_value_is_read() {
        let value = "x".repeat(1 << 20);
        let mut server = answering(ready(row(&value))).await;
        assert_eq!(server.ask("SELECT").await.unwrap(), [[value]]);
    }

    #[tokio::test]
    async fn notifications_are_kept_for_the_client() {
        let notification = *b"A\0\0\0\x0c\0\0\0\x01c\0p\0";
        let before = notification.repeat(50);
        let mut answer = ready(before.clone());
        answer.extend(notification.repeat(200)); // more than one read brings
        let mut server = answering(answer).await;
        server.ask("SELECT").await.unwrap();
        let heard = server.heard.concat();
        assert!(heard.starts_with(&before));
        assert_eq!(heard.len() % notification.len(), 0);
    }

    #[tokio::test]
    async fn what_follows_the_last_answer_breaks_the_connection() {
        let mut refusal = Vec::new();
        message::error_response(&mut refusal, "ERROR", "42601", "no", None);
        for first in [Vec::new(), refusal] {
            let mut answer = ready(first);
            answer.extend(row("for somebody else"));
            let mut server = answering(answer).await;
            let end = server.ask("SELECT").await;
            assert!(matches!(end, Err(CleanError::Protocol)), "{end:?}");
        }
    }
}
