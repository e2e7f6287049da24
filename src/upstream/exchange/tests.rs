use std::sync::Arc;
use std::time::Instant;

use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::net::{Socket, Stream};
use crate::upstream::tests::target;
use crate::upstream::{Backend, BackendPid, Reported};

/// A connection to a server that answers one query with these bytes.
async fn answering(answer: Vec<u8>, fence: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> Server {
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
