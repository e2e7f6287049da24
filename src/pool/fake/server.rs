//! A Postgres that says what a test wants it to.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::wire::{Version, login, message};

/// Logs everybody in without a question, and calls every query a success.
#[derive(Default)]
pub struct Server {
    pub port: u16,
    pub logins: AtomicUsize,
    /// Connections that are logged in, and the most at once.
    here: AtomicUsize,
    pub most: AtomicUsize,
    /// Logins that still find room; the others are refused with 53300.
    pub room: AtomicUsize,
    /// Queries get no answer on connections that were there when this was set.
    pub mute: AtomicBool,
    /// Logins are begun, and not gone on with while this is set.
    pub stalled: watch::Sender<bool>,
    /// Moved to hang up on everybody.
    hang_up: watch::Sender<()>,
}

impl Server {
    pub async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = Arc::new(Self {
            port: listener.local_addr().expect("an address").port(),
            room: AtomicUsize::new(usize::MAX),
            ..Self::default()
        });
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = accepting.clone();
                let mut ends = server.hang_up.subscribe();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = server.serve(stream) => {}
                        _ = ends.changed() => {}
                    }
                });
            }
        });
        server
    }

    /// How many connections are logged in.
    pub fn here(&self) -> usize {
        self.here.load(Relaxed)
    }

    pub fn hang_up(&self) {
        self.hang_up.send_replace(());
    }

    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let length = stream.read_u32().await?;
        let mut body = vec![0; length as usize - 4];
        stream.read_exact(&mut body).await?;
        if body[..4] != Version::V3_2.0.to_be_bytes() {
            return Ok(()); // a cancel
        }
        let user = body[4..].split(|b| *b == 0).nth(1).unwrap_or_default();
        let user = String::from_utf8_lossy(user).into_owned();
        let pid = self.logins.fetch_add(1, Relaxed) + 1;
        let mut out = Vec::new();
        let one_less = |n: usize| n.checked_sub(1);
        if self.room.fetch_update(Relaxed, Relaxed, one_less).is_err() {
            message::error_response(&mut out, "FATAL", "53300", "no", None);
            return stream.write_all(&out).await;
        }
        let _present = Present::new(self);
        let _ = self.stalled.subscribe().wait_for(|s| !s).await;
        message::authentication_ok(&mut out);
        message::parameter_status(&mut out, "session_authorization", &user);
        login::backend_key_data(&mut out, pid as u32, &[0; 32]);
        message::ready_for_query(&mut out, b'I');
        stream.write_all(&out).await?;
        let new = self.mute.load(Relaxed);
        loop {
            let tag = stream.read_u8().await?;
            let mut body = vec![0; stream.read_u32().await? as usize - 4];
            stream.read_exact(&mut body).await?;
            if tag == b'X' {
                return Ok(());
            }
            if self.mute.load(Relaxed) && !new {
                std::future::pending::<()>().await;
            }
            stream.write_all(&answer(&body)).await?;
        }
    }
}

/// Every query is a success, and has no rows but those of a fence.
fn answer(query: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(query);
    let mut out = Vec::new();
    if let Some((_, fence)) = text.rsplit_once(" AS pgvalet_") {
        let name = format!("pgvalet_{}", fence.trim_end_matches('\0'));
        message::message(&mut out, b'T', |out| {
            out.extend(1u16.to_be_bytes());
            out.extend(name.as_bytes());
            out.extend([0; 19]);
        });
        message::message(&mut out, b'C', |out| out.extend(b"SELECT 1\0"));
    }
    message::ready_for_query(&mut out, b'I');
    out
}

/// A connection that is logged in; gone before its socket is closed.
struct Present<'a>(&'a Server);

impl<'a> Present<'a> {
    fn new(server: &'a Server) -> Self {
        let here = server.here.fetch_add(1, Relaxed) + 1;
        server.most.fetch_max(here, Relaxed);
        Self(server)
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.here.fetch_sub(1, Relaxed);
    }
}
