//! A client that sends what it is told and reads message by message. It is asked
//! for no password: by pgvalet never, and Postgres trusts it here.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::common::raw;

/// The limit for an answer, far above what one takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Received {
    pub tag: u8,
    pub body: Vec<u8>,
}

/// Why nothing more came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    Closed,
    Timeout,
}

pub struct Client {
    reader: OwnedReadHalf,
    buffer: Vec<u8>,
    writer: UnboundedSender<Vec<u8>>,
}

impl Client {
    /// Connects and sends a start-up packet. Written in pieces of `chunk` bytes.
    pub async fn connect(port: u16, chunk: usize) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port))
            .await
            .expect("a listener");
        stream.set_nodelay(true).expect("a socket option");
        let (reader, writer) = stream.into_split();
        let (sender, mut receiver) = unbounded_channel::<Vec<u8>>();
        tokio::spawn(async move {
            // Its own task: a peer that does not read must not stop the reader.
            let mut writer: OwnedWriteHalf = writer;
            while let Some(bytes) = receiver.recv().await {
                for piece in bytes.chunks(chunk) {
                    // The reader sees why.
                    if writer.write_all(piece).await.is_err() {
                        return;
                    }
                    if chunk < 64 {
                        tokio::task::yield_now().await;
                    }
                }
            }
        });
        Self {
            reader,
            buffer: Vec::new(),
            writer: sender,
        }
    }

    pub fn send(&self, bytes: Vec<u8>) {
        let _ = self.writer.send(bytes);
    }

    pub fn start(&self, version: u32, parameters: &[(&str, &str)]) {
        self.send(raw::start_up(version, parameters));
    }

    pub async fn next(&mut self) -> Result<Received, Silence> {
        loop {
            if let Some((tag, body)) = raw::take(&mut self.buffer) {
                return Ok(Received { tag, body });
            }
            match timeout(PATIENCE, self.reader.read_buf(&mut self.buffer)).await {
                Err(_) => return Err(Silence::Timeout),
                // A peer that closes with something unread resets.
                Ok(Ok(0) | Err(_)) => return Err(Silence::Closed),
                Ok(Ok(_)) => {}
            }
        }
    }

    /// Everything up to the first ReadyForQuery.
    pub async fn greeting(&mut self) -> (Vec<Received>, Option<Silence>) {
        let mut seen = Vec::new();
        loop {
            match self.next().await {
                Ok(received) => {
                    let ready = received.tag == b'Z';
                    seen.push(received);
                    if ready {
                        return (seen, None);
                    }
                }
                Err(silence) => return (seen, Some(silence)),
            }
        }
    }
}
