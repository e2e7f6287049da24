//! A client that sends what no driver would, and reads message by message.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Proxy;

/// A connection in the clear, if nothing else is said.
pub struct Raw<S = TcpStream> {
    pub stream: S,
}

/// A tag and a body.
pub type Message = (u8, Vec<u8>);

pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("short");
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

pub fn query(sql: &str) -> Vec<u8> {
    message(b'Q', &[sql.as_bytes(), b"\0"].concat())
}

pub fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{sql}\0\0\0").as_bytes())
}

/// Bind, without parameters, and Execute.
pub fn run(name: &str) -> Vec<u8> {
    let bind = message(b'B', format!("\0{name}\0\0\0\0\0\0\0").as_bytes());
    [bind, message(b'E', b"\0\0\0\0\0")].concat()
}

pub fn close(name: &str) -> Vec<u8> {
    message(b'C', format!("S{name}\0").as_bytes())
}

pub fn sync() -> Vec<u8> {
    message(b'S', b"")
}

pub fn start_up(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend(format!("{name}\0{value}\0").as_bytes());
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).expect("short");
    [&length.to_be_bytes(), &body[..]].concat()
}

/// Takes the first message out of a buffer, if all of it is there.
pub fn take(buffer: &mut Vec<u8>) -> Option<Message> {
    let &[tag, a, b, c, d] = buffer.first_chunk::<5>()?;
    let end = u32::from_be_bytes([a, b, c, d]) as usize + 1;
    let body = buffer.get(5..end)?.to_vec();
    buffer.drain(..end);
    Some((tag, body))
}

impl Raw {
    pub async fn open(proxy: &Proxy) -> Self {
        let address = ("127.0.0.1", proxy.port);
        Self {
            stream: TcpStream::connect(address).await.expect("connected"),
        }
    }

    pub async fn connect(proxy: &Proxy) -> Self {
        let mut raw = Self::open(proxy).await;
        raw.start_up().await;
        raw.until(b'Z').await;
        raw
    }

    /// Whether nothing has come that was not read.
    pub fn is_silent(&self) -> bool {
        let read = self.stream.try_read(&mut [0; 1]);
        read.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub async fn start_up(&mut self) {
        let who = [("user", "anyone"), ("database", "app")];
        self.send(&start_up(0x0003_0000, &who)).await;
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("sent");
        // TLS may have taken bytes that the socket has not.
        self.stream.flush().await.expect("sent");
    }

    /// Reads the messages up to the first one with this tag.
    pub async fn until(&mut self, tag: u8) -> Vec<Message> {
        let mut messages: Vec<Message> = Vec::new();
        while messages.last().is_none_or(|(last, _)| *last != tag) {
            let next = timeout(Duration::from_secs(10), self.next()).await;
            let next = next.unwrap_or_else(|_| {
                panic!("no {} within 10 s after {messages:?}", char::from(tag))
            });
            messages.push(next);
        }
        messages
    }

    /// The next message, before long.
    pub async fn one(&mut self) -> Message {
        let next = timeout(Duration::from_secs(10), self.next()).await;
        next.expect("a message within 10 s")
    }

    async fn next(&mut self) -> Message {
        let tag = self.stream.read_u8().await.expect("a message");
        let length = self.stream.read_u32().await.expect("its length");
        let mut body = vec![0; length as usize - 4];
        self.stream.read_exact(&mut body).await.expect("its body");
        (tag, body)
    }

    /// Sends a batch that ends with Sync, or a query; the answer.
    pub async fn ask(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.send(bytes).await;
        self.until(b'Z').await
    }
}

pub fn tags(messages: &[Message]) -> String {
    messages.iter().map(|(tag, _)| char::from(*tag)).collect()
}

/// The SQLSTATE of the first error.
pub fn sqlstate(messages: &[Message]) -> Option<String> {
    let (_, body) = messages.iter().find(|(tag, _)| *tag == b'E')?;
    let field = body.split(|b| *b == 0).find(|f| f.first() == Some(&b'C'))?;
    Some(String::from_utf8_lossy(&field[1..]).into_owned())
}
