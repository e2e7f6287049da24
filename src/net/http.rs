//! The server loop for HTTP/1.1 that the admin listener and the store's API share:
//! accept, limit what a request's head may take, and end without cutting answers off.
//!
//! hyper is used directly, because axum's own loop has neither a limit for slow heads nor
//! a place to refuse a connection.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::{Duration, Instant};

use hyper::body::{Body, Incoming};
use hyper::service::HttpService;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::base::seldom::Seldom;

/// The largest head of a request, in bytes; as much of a body waits to be read.
const HEAD_BYTES: usize = 16 * 1024;

/// After a failed accept, for descriptors to become free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often the log says that accepting fails.
const PERIOD: Duration = Duration::from_secs(10);

/// How long answers that are under way at the end may still take.
const GOODBYE: Duration = Duration::from_secs(2);

/// Where connections come from.
pub trait Accept {
    type Connection;

    /// The next connection. Dropping the future loses none.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Connection>> + Send;
}

impl Accept for TcpListener {
    type Connection = (TcpStream, SocketAddr);

    async fn accept(&self) -> io::Result<Self::Connection> {
        Self::accept(self).await
    }
}

/// Accepts until `closing` becomes true, then closes the listener and waits a moment for
/// the connections that are left.
///
/// `begin` spawns a task that serves a connection (see [`connection`]), or drops the
/// connection. `name` says in the log what could not accept.
pub async fn serve<L: Accept>(
    listener: L,
    name: &str,
    closing: watch::Receiver<bool>,
    mut begin: impl FnMut(L::Connection, &mut JoinSet<()>),
) {
    let mut connections = JoinSet::new();
    let mut failures = Seldom::new(PERIOD);
    let mut closed = pin!(closed(closing));
    loop {
        tokio::select! {
            () = &mut closed => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok(connection) => begin(connection, &mut connections),
                Err(error) => {
                    if let Some(count) = failures.note(Instant::now()) {
                        tracing::warn!(%error, "{name} could not accept a connection ({count} times)");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let all_gone = async { while connections.join_next().await.is_some() {} };
    // What is still open then is cut by dropping its task.
    let _ = timeout(GOODBYE, all_gone).await;
}

/// Answers the requests of one connection until its peer ends it or `closing` becomes
/// true. `patience` is for each head: from its first byte to its end, and before it.
pub async fn connection<S>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: S,
    patience: Duration,
    closing: watch::Receiver<bool>,
) where
    S: HttpService<Incoming, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    S::ResBody: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static,
{
    let mut connection = pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(patience)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
    );
    // How a connection ended interests nobody.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = closed(closing) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// `closing` is true, or its sender is gone.
async fn closed(mut closing: watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}
