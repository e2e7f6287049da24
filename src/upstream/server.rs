//! An established, logged-in server connection.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Reported, Target};
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
    pub(super) stream: Stream,
    pub backend: Arc<Backend>,
    /// The values of ParameterStatus, as last reported.
    pub reported: Reported,
    /// NotificationResponses that came while pgvalet asked something.
    pub heard: Vec<Box<[u8]>>,
    /// Whether it said at the login that it is a standby; `None` before
    /// Postgres 14.
    pub(super) was_standby: Option<bool>,
    pub opened_at: Instant,
    /// `scram-sha-256-plus`, `scram-sha-256`, `md5`, `cleartext` or `trust`.
    pub mechanism: &'static str,
}

/// How long a closing server may take to go away before it is forgotten.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What ParameterStatus says about being a standby.
pub(super) fn standby(reported: &Reported) -> Option<bool> {
    reported.get("in_hot_standby").map(|v| v == "on")
}

impl Server {
    /// Whether it has been promoted since the login.
    pub fn has_changed_role(&self) -> bool {
        self.was_standby != standby(&self.reported)
    }

    /// The bytes to and from the server. Whoever uses them has to keep account of
    /// what the server owes.
    pub fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// The version of TLS in use, as in `TLSv1.3`; `None` without TLS.
    pub fn tls_version(&self) -> Option<&'static str> {
        self.stream.tls_version()
    }

    /// Whether the server has neither hung up nor said anything unasked.
    pub fn is_alive(&mut self) -> bool {
        self.stream.is_quiet()
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Socket;
    use crate::upstream::QueryError;
    use crate::upstream::tests::target;
    use tokio::net::{TcpListener, TcpStream};

    /// A connection to a server that answers one query with these bytes.
    async fn answering(
        answer: Vec<u8>,
        fence: impl Fn(&[u8]) -> Vec<u8> + Send + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut question = vec![0; 4096];
            let n = socket.read(&mut question).await.unwrap();
            let answer = [answer, fence(&question[..n])].concat();
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
            reported: Reported::default(),
            heard: Vec::new(),
            was_standby: None,
            opened_at: Instant::now(),
            mechanism: "trust",
        }
    }

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        out.extend((body.len() as u32 + 4).to_be_bytes());
        out.extend(body);
        out
    }

    fn row(value: &str) -> Vec<u8> {
        let length = (value.len() as u32).to_be_bytes();
        message(
            b'D',
            &[&1u16.to_be_bytes()[..], &length, value.as_bytes()].concat(),
        )
    }

    fn ready(mut before: Vec<u8>) -> Vec<u8> {
        message::ready_for_query(&mut before, b'I');
        before
    }

    /// The answer to the fence that a question ends with.
    fn fence(question: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(question).into_owned();
        let (_, name) = text.rsplit_once("AS ").expect("a fence");
        let name = name.trim_end_matches('\0');
        let described = [&1u16.to_be_bytes()[..], name.as_bytes(), b"\0", &[0; 18]].concat();
        let mut out = message(b'C', b"SET\0");
        out.extend(message(b'T', &described));
        out.extend(row("1"));
        out.extend(message(b'C', b"SELECT 1\0"));
        ready(out)
    }

    #[tokio::test]
    async fn a_long_value_is_read() {
        let value = "x".repeat(1 << 20);
        let mut server = answering(ready(row(&value)), fence).await;
        let answers = server.exchange(&["SELECT"]).await.unwrap();
        assert_eq!(answers.rows, [[[value]]]);
    }

    #[tokio::test]
    async fn notifications_are_kept_for_the_client() {
        let notification = *b"A\0\0\0\x0c\0\0\0\x01c\0p\0";
        let before = notification.repeat(50);
        let many = notification.repeat(200); // more than one read brings
        let mut server = answering(ready(before.clone()), move |question| {
            [fence(question), many.clone()].concat()
        })
        .await;
        let _ = server.exchange(&["SELECT"]).await.unwrap();
        let heard = server.heard.concat();
        assert!(heard.starts_with(&before));
        assert_eq!(heard.len() % notification.len(), 0);
    }

    /// Each of these would be taken for the answer to somebody else's question.
    #[tokio::test]
    async fn whatever_else_is_owed_breaks_the_connection() {
        let mut refusal = Vec::new();
        message::error_response(&mut refusal, "ERROR", "42601", "no", None);
        let stale = || [row("somebody else's"), ready(message(b'C', b"SELECT 1\0"))].concat();
        type Behind = fn(&[u8]) -> Vec<u8>;
        let cases: [(Vec<u8>, Behind); 5] = [
            (ready(Vec::new()), |q| [fence(q), row("behind")].concat()),
            (ready(refusal), |q| [fence(q), ready(Vec::new())].concat()),
            ([stale(), ready(Vec::new())].concat(), fence),
            ([ready(Vec::new()), stale()].concat(), fence),
            // An answer without the value that was asked for.
            (ready(Vec::new()), |_| ready(message(b'C', b"SELECT 1\0"))),
        ];
        for (before, behind) in cases {
            let mut server = answering(before, behind).await;
            let end = server.exchange(&["SELECT"]).await;
            assert!(matches!(end, Err(QueryError::Protocol)), "{end:?}");
        }
    }

    #[tokio::test]
    async fn a_refusal_leaves_the_connection_at_rest() {
        let mut refusal = Vec::new();
        message::error_response(&mut refusal, "ERROR", "42601", "no", None);
        let mut server = answering(ready(refusal), fence).await;
        let answers = server.exchange(&["SELECT"]).await.unwrap();
        assert_eq!(answers.failed.unwrap().sqlstate, "42601");
    }
}
