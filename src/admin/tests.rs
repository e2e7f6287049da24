//! Requests to the listener over real sockets.

mod watching;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::status::examples::rotating;
use super::*;
use crate::admin::AdminAddress;
use crate::metrics::{Counter, Family, Metrics};

const EVENTS: Family<Counter, 1> = Family::new("pgvalet_test_total", "Events.", ["place"]);

struct Source(Result<(), String>);

impl StatusSource for Source {
    fn status(&self) -> Status {
        rotating()
    }

    fn loads(&self) -> Vec<Load> {
        Vec::new()
    }

    fn rotation_steps(&self) -> Vec<RotationStep> {
        Vec::new()
    }

    fn ready(&self) -> Result<(), String> {
        self.0.clone()
    }

    fn publish(&self) {}

    fn refresh(&self, secret: Option<String>) -> RefreshFuture<'_> {
        let known = secret.is_none_or(|s| s == "prod/orders");
        let found = known.then(|| Refreshed {
            secret: "prod/orders".into(),
            current: Some("22222222-bbbb".into()),
            changed: true,
            error: None,
        });
        Box::pin(async { found.into_iter().collect() })
    }
}

struct Server {
    address: SocketAddr,
    closing: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

async fn server(ready: Result<(), String>, token: Option<Token>) -> Server {
    let reads_need_token = token.is_some();
    server_with(ready, Doorkeeper::new(token, reads_need_token, None)).await
}

async fn server_with(ready: Result<(), String>, keeper: Doorkeeper) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound");
    let (closing, closed) = watch::channel(false);
    let metrics = Metrics::new();
    metrics.series(&EVENTS, ["here"]).increment(1);
    let source = Arc::new(Source(ready));
    let listener = AdminListener::Tcp(listener);
    let task = tokio::spawn(serve(listener, metrics, source, None, keeper, closed));
    Server {
        address,
        closing,
        task,
    }
}

impl Server {
    /// The whole answer to a request, as text.
    async fn get(&self, path: &str, headers: &str) -> String {
        self.ask(&format!("GET {path}"), "localhost", headers).await
    }

    async fn ask(&self, what: &str, host: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("connects");
        let request =
            format!("{what} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        answer
    }
}

fn token(text: &str) -> Result<Token, TokenError> {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    Token::read(file.path())
}

const SECRET: &str = "0123456789abcdef0123";

#[track_caller]
fn is(answer: &str, code: u16, part: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{answer}");
    assert!(answer.contains(part), "{part:?} is missing in:\n{answer}");
}

#[tokio::test]
async fn without_a_token_everyone_is_answered() {
    let server = server(Ok(()), None).await;
    is(&server.get("/livez", "").await, 200, "ok");
    is(&server.get("/readyz", "").await, 200, "ok");
    let metrics = server.get("/metrics", "").await;
    is(&metrics, 200, "pgvalet_test_total{place=\"here\"} 1");
    assert!(
        metrics
            .to_lowercase()
            .contains("content-type: text/plain; version=0.0.4")
    );
    is(
        &server.get("/status", "").await,
        200,
        "\"draining_since\":\"2026-01-02T04:00:00Z\"",
    );
    is(&server.get("/nothing", "").await, 404, "");
}

#[tokio::test]
async fn with_a_token_only_health_is_open() {
    let right = token(&format!("{SECRET}\n")).expect("a token");
    let server = server(Err("no version of prod/orders logs in".into()), Some(right)).await;
    is(&server.get("/livez", "").await, 200, "ok");
    is(&server.get("/readyz", "").await, 503, "not ready");
    let wrong = [
        String::new(),
        "Authorization: Bearer\r\n".into(),
        "Authorization: Bearer \r\n".into(),
        format!("Authorization: Basic {SECRET}\r\n"),
        format!("Authorization: Bearer {SECRET}x\r\n"),
        format!("Authorization: Bearer {}\r\n", &SECRET[1..]),
    ];
    for header in wrong {
        is(&server.get("/metrics", &header).await, 401, "token_file");
        is(&server.get("/status", &header).await, 401, "token_file");
    }
    let right = format!("authorization: bearer {SECRET}\r\n");
    is(
        &server.get("/metrics", &right).await,
        200,
        "pgvalet_build_info",
    );
    is(&server.get("/status", &right).await, 200, "\"pid\":42");
    is(
        &server.get("/readyz", &right).await,
        503,
        "no version of prod/orders logs in",
    );
}

#[tokio::test]
async fn a_status_comes_over_whole() {
    let right = token(SECRET).expect("a token");
    let server = server(Ok(()), Some(right.clone())).await;
    let address = AdminAddress::Tcp(server.address.to_string());
    assert_eq!(
        fetch(&address, Some(&right)).await.expect("a status"),
        rotating()
    );
    let refused = fetch(&address, None).await;
    assert!(
        matches!(refused, Err(FetchError::Refused(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_secret_is_looked_at_when_asked() {
    let right = token(SECRET).expect("a token");
    let server = server(Ok(()), Some(right.clone())).await;
    let address = AdminAddress::Tcp(server.address.to_string());
    let found = refresh(&address, Some(&right), Some("prod/orders")).await;
    let found = found.expect("looked");
    assert_eq!(found[0].current.as_deref(), Some("22222222-bbbb"));
    let found = refresh(&address, Some(&right), None).await;
    assert_eq!(found.expect("looked").len(), 1);
    let other = refresh(&address, Some(&right), Some("prod/orders&x=1")).await;
    assert!(
        matches!(&other, Err(FetchError::Unknown(n)) if n.error.contains("prod/orders")),
        "{other:?}"
    );
    let nobody = refresh(&address, None, None).await;
    assert!(matches!(nobody, Err(FetchError::Refused(_))), "{nobody:?}");
    // A link or an image on a web page must not do anything.
    let right = format!("authorization: bearer {SECRET}\r\n");
    is(&server.get("/refresh", &right).await, 405, "");
}

/// A page in a browser can send requests under a name that resolves to this machine, or
/// to the machine's own names.
#[tokio::test]
async fn a_web_page_reads_and_changes_nothing() {
    let keeper = Doorkeeper::new(token(SECRET).ok(), false, None);
    let server = server_with(Err("no version of prod/orders logs in".into()), keeper).await;
    for (host, headers) in [
        ("evil.example", ""),
        ("localhost", "Origin: http://evil.example\r\n"),
        ("localhost", "Sec-Fetch-Site: cross-site\r\n"),
    ] {
        for what in ["GET /status", "GET /metrics", "POST /refresh"] {
            is(&server.ask(what, host, headers).await, 403, "web pages");
        }
        let health = server.ask("GET /readyz", host, headers).await;
        is(&health, 503, "not ready");
        is(&server.ask("GET /livez", host, headers).await, 200, "ok");
    }
    is(&server.get("/status", "").await, 200, "prod/orders");
    // A program of any user of the machine sends no Origin.
    let post = server.ask("POST /refresh", "localhost", "").await;
    is(&post, 401, "admin.token");
    let right = format!("Authorization: Bearer {SECRET}\r\n");
    let post = server.ask("POST /refresh", "localhost", &right).await;
    is(&post, 200, "prod/orders");
}

#[tokio::test]
async fn a_unix_socket_serves_its_owner() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("admin.sock");
    let access = crate::net::SocketAccess {
        mode: 0o660,
        ..Default::default()
    };
    let mut passed = crate::net::PassedSockets::default();
    let listener = crate::net::Listener::bind_unix(path.clone(), access, &mut passed);
    let listener = AdminListener::Unix(listener.await.expect("bound"));
    let (closing, closed) = watch::channel(false);
    let source = Arc::new(Source(Ok(())));
    let keeper = Doorkeeper::new(token(SECRET).ok(), true, None);
    let task = tokio::spawn(serve(
        listener,
        Metrics::new(),
        source,
        None,
        keeper,
        closed,
    ));
    let address = AdminAddress::Unix(path.clone());
    assert_eq!(fetch(&address, None).await.expect("a status"), rotating());
    let found = refresh(&address, None, None).await.expect("looked");
    assert_eq!(found.len(), 1);
    closing.send(true).expect("still running");
    task.await.expect("ended");
    assert!(!path.exists());
}

/// Holding connections open keeps nobody out.
#[tokio::test]
async fn the_oldest_silent_connections_are_closed() {
    let server = server(Ok(()), None).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(server.address).await.expect("connects"));
    }
    is(&server.get("/livez", "").await, 200, "ok");
    let mut rest = Vec::new();
    let ended = silent[0].read_to_end(&mut rest).await;
    assert!(ended.is_ok() && rest.is_empty() || ended.is_err());
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_one_sentence() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = AdminAddress::Tcp(listener.local_addr().expect("bound").to_string());
    drop(listener);
    let error = fetch(&address, None).await.expect_err("nobody there");
    assert!(matches!(error, FetchError::NotRunning { .. }), "{error}");
    assert_eq!(error.to_string().lines().count(), 1);
}

#[tokio::test]
async fn something_else_that_answers_is_said_to_be_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = AdminAddress::Tcp(listener.local_addr().expect("bound").to_string());
    let other = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepts");
        stream.write_all(b"SSH-2.0-x\r\n").await.expect("sent");
        let mut sink = Vec::new();
        let _ = stream.read_to_end(&mut sink).await;
    });
    let error = fetch(&address, None).await.expect_err("not ours");
    assert!(matches!(error, FetchError::Foreign { .. }), "{error}");
    other.await.expect("ended");
}

/// An idle keep-alive connection does not hold the end up.
#[tokio::test]
async fn it_ends_when_told_and_the_port_is_free() {
    let server = server(Ok(()), None).await;
    let mut idle = TcpStream::connect(server.address).await.expect("connects");
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: t\r\n\r\n")
        .await
        .expect("sent");
    let mut first = [0; 15];
    idle.read_exact(&mut first).await.expect("answered");
    server.closing.send(true).expect("still running");
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.expect("closed");
    server.task.await.expect("ended");
    TcpListener::bind(server.address).await.expect("free");
}

#[tokio::test]
async fn a_large_header_is_refused() {
    let server = server(Ok(()), None).await;
    let mut stream = TcpStream::connect(server.address).await.expect("connects");
    let header = format!(
        "GET /livez HTTP/1.1\r\nX: {}\r\n\r\n",
        "x".repeat(64 * 1024)
    );
    // The answer may arrive while the request is still being sent.
    let _ = stream.write_all(header.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    is(&server.get("/livez", "").await, 200, "ok");
}

#[test]
fn tokens_that_are_none() {
    for text in ["", "short", "0123456789 abcdef", "0123456789abcdefé"] {
        assert!(matches!(token(text), Err(TokenError::Unfit(_))), "{text}");
    }
    let error = Token::read("/nonexistent/token".as_ref()).expect_err("missing");
    assert!(error.to_string().contains("/nonexistent/token"));
    let debug = format!("{:?}", token(SECRET).expect("a token"));
    assert!(!debug.contains(SECRET));
}
