//! A TCP forwarder that stops the world at a chosen request: what was sent is
//! carried out, and whoever sent it never hears of it.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle};

/// The side of the request on which the world stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The request does not get through.
    Before,
    /// The request gets through, but its answer does not.
    After,
}

struct Shared {
    to: String,
    /// Requests until the one at which to stop; far away when not armed.
    left: AtomicUsize,
    side: Mutex<Side>,
    reached: Notify,
    connections: Mutex<Vec<AbortHandle>>,
}

pub struct Gate {
    shared: Arc<Shared>,
    pub port: u16,
    listener: JoinHandle<()>,
}

impl Gate {
    pub async fn new(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let shared = Arc::new(Shared {
            to: to.to_owned(),
            left: AtomicUsize::new(usize::MAX),
            side: Mutex::new(Side::After),
            reached: Notify::new(),
            connections: Mutex::default(),
        });
        let accepting = shared.clone();
        let listener = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let task = tokio::spawn(forward(accepting.clone(), client));
                let mut all = accepting.connections.lock().expect("not poisoned");
                all.push(task.abort_handle());
            }
        });
        Self {
            shared,
            port,
            listener,
        }
    }

    /// The n-th request from now on, from 1, is the last one.
    pub fn arm(&self, n: usize, side: Side) {
        *self.shared.side.lock().expect("not poisoned") = side;
        self.shared.left.store(n, SeqCst);
    }

    /// Returns when that request has been reached.
    pub async fn reached(&self) {
        self.shared.reached.notified().await;
    }

    /// Forwards everything again; connections that were stopped are gone.
    pub fn open(&self) {
        self.shared.left.store(usize::MAX, SeqCst);
        for connection in self
            .shared
            .connections
            .lock()
            .expect("not poisoned")
            .drain(..)
        {
            connection.abort();
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
        self.listener.abort();
    }
}

async fn forward(shared: Arc<Shared>, mut client: TcpStream) {
    let Ok(mut server) = TcpStream::connect(&shared.to).await else {
        return;
    };
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            n = client.read(&mut asked) => {
                let n = n.unwrap_or(0);
                if n == 0 {
                    // A goodbye has no answer to wait for.
                    return;
                }
                let stops = shared.left.fetch_sub(1, SeqCst) == 1;
                let side = *shared.side.lock().expect("not poisoned");
                if stops && side == Side::Before {
                    return stop(&shared).await;
                }
                if server.write_all(&asked[..n]).await.is_err() {
                    return;
                }
                if stops {
                    // The first byte of an answer: it was carried out. None at
                    // all: it was a goodbye.
                    let _ = server.read(&mut answered).await;
                    return stop(&shared).await;
                }
            }
            n = server.read(&mut answered) => {
                let n = n.unwrap_or(0);
                if n == 0 || client.write_all(&answered[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Keeps both connections until the gate opens.
async fn stop(shared: &Shared) {
    shared.reached.notify_one();
    std::future::pending::<()>().await;
}
