//! A TCP relay that does to what passes what networks and dying peers do: it delays it, cuts it
//! into single bytes, loses the rest of it, resets the connection, closes it, closes one side
//! of it, or falls silent. A fault strikes at a byte or at a message of one direction, once, or
//! at this moment.

pub mod frames;
mod pass;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use pass::Connection;

/// A direction. The client is whoever connects to the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    ToServer,
    ToClient,
}

/// Where a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// In front of the byte of this number of a connection, from 0.
    Byte(u64),
    /// In front of the n-th message with this tag from now on, from 1.
    Before(u8, usize),
    /// Behind that message.
    After(u8, usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Both sides are reset.
    Reset,
    /// Both sides are closed.
    Close,
    /// Half of the message passes; both sides are closed.
    Truncate,
    /// The receiver sees the end of the stream, and may go on sending.
    HalfClose,
    /// Nothing passes any more, in neither direction, and nobody is told.
    Silence,
}

/// How fast one direction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    Free,
    /// Each byte by itself.
    SingleBytes,
    /// Whatever is read is passed on so much later.
    Late(Duration),
    /// Bytes a second.
    Rate(u64),
}

/// What becomes of new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrivals {
    Let,
    Reset,
    /// They are accepted, and nothing else happens.
    Ignore,
}

struct Armed {
    way: Way,
    at: At,
    fault: Fault,
}

struct State {
    to: SocketAddr,
    arrivals: Arrivals,
    armed: Option<Armed>,
    paces: [Pace; 2],
    connections: Vec<Weak<Connection>>,
    /// Connections that are accepted, and ignored.
    ignored: Vec<TcpStream>,
}

struct Shared {
    /// The peers speak Postgres.
    framed: bool,
    state: Mutex<State>,
    /// How many faults have struck.
    struck: watch::Sender<usize>,
    open: AtomicUsize,
    accepted: AtomicUsize,
}

pub struct Relay {
    pub port: u16,
    shared: Arc<Shared>,
    listener: JoinHandle<()>,
}

impl Relay {
    /// A relay to a Postgres, or a pgvalet, at this port.
    pub async fn to(port: u16) -> Self {
        Self::start(port, true).await
    }

    /// A relay of bytes that are no messages of Postgres.
    pub async fn of_bytes(port: u16) -> Self {
        Self::start(port, false).await
    }

    async fn start(to: u16, framed: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let shared = Arc::new(Shared {
            framed,
            state: Mutex::new(State {
                to: ([127, 0, 0, 1], to).into(),
                arrivals: Arrivals::Let,
                armed: None,
                paces: [Pace::Free; 2],
                connections: Vec::new(),
                ignored: Vec::new(),
            }),
            struck: watch::Sender::new(0),
            open: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
        });
        let accepting = shared.clone();
        let listener = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                accepting.clone().arrive(client);
            }
        });
        Self {
            port,
            shared,
            listener,
        }
    }

    /// A fault strikes once, there. What was armed before is forgotten.
    pub fn arm(&self, way: Way, at: At, fault: Fault) {
        self.shared.state().armed = Some(Armed { way, at, fault });
    }

    /// Every connection has a fault now. Ends when both sides can know of it.
    pub async fn strike(&self, fault: Fault) {
        self.suffer(fault);
        // A reset is sent when the socket is closed.
        while fault == Fault::Reset && self.connections().iter().any(|c| c.is_over()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn suffer(&self, fault: Fault) {
        for connection in self.connections() {
            connection.suffer(fault, Way::ToClient);
        }
    }

    pub fn pace(&self, way: Way, pace: Pace) {
        self.shared.state().paces[way as usize] = pace;
    }

    pub fn arrivals(&self, arrivals: Arrivals) {
        self.shared.state().arrivals = arrivals;
    }

    /// New connections lead to this port.
    pub fn lead_to(&self, port: u16) {
        self.shared.state().to.set_port(port);
    }

    /// All is well from now on; what was silent goes on.
    pub fn heal(&self) {
        {
            let mut state = self.shared.state();
            state.armed = None;
            state.arrivals = Arrivals::Let;
            state.paces = [Pace::Free; 2];
            state.ignored.clear();
        }
        for connection in self.connections() {
            connection.speak_again();
        }
    }

    /// How many faults have struck that were armed.
    pub fn struck(&self) -> usize {
        *self.shared.struck.borrow()
    }

    /// Waits until more than `before` faults have struck.
    pub async fn strikes(&self, before: usize) {
        let mut struck = self.shared.struck.subscribe();
        let strikes = struck.wait_for(|struck| *struck > before);
        tokio::time::timeout(Duration::from_secs(20), strikes)
            .await
            .expect("the fault strikes within 20 s")
            .expect("the relay is there");
    }

    /// The number of connections that are open.
    pub fn open(&self) -> usize {
        self.shared.open.load(SeqCst)
    }

    /// The number of connections that have come in all.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(SeqCst)
    }

    fn connections(&self) -> Vec<Arc<Connection>> {
        let state = self.shared.state();
        state.connections.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.listener.abort();
        self.suffer(Fault::Reset);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    fn arrive(self: Arc<Self>, client: TcpStream) {
        self.accepted.fetch_add(1, SeqCst);
        let to = {
            let mut state = self.state();
            match state.arrivals {
                Arrivals::Let => state.to,
                Arrivals::Reset => {
                    pass::reset(&client);
                    return;
                }
                Arrivals::Ignore => {
                    state.ignored.push(client);
                    return;
                }
            }
        };
        tokio::spawn(async move {
            match TcpStream::connect(to).await {
                Ok(server) => self.connect(client, server).await,
                // Nobody listens there: as if nobody listened here.
                Err(_) => pass::reset(&client),
            }
        });
    }

    async fn connect(self: Arc<Self>, client: TcpStream, server: TcpStream) {
        let connection = Arc::new(Connection::new(client, server, self.framed));
        {
            let mut state = self.state();
            state.connections.retain(|c| c.strong_count() > 0);
            state.connections.push(Arc::downgrade(&connection));
        }
        self.open.fetch_add(1, SeqCst);
        connection.run(&self).await;
        self.open.fetch_sub(1, SeqCst);
    }

    fn pace(&self, way: Way) -> Pace {
        self.state().paces[way as usize]
    }

    /// The fault that strikes at a piece of a connection, of whose direction `passed` bytes
    /// have passed before; and how much of the piece passes first.
    fn strikes(&self, way: Way, piece: &frames::Piece, passed: u64) -> Option<(Fault, usize)> {
        let mut state = self.state();
        let armed = state.armed.as_mut().filter(|armed| armed.way == way)?;
        let whole = piece.bytes.len();
        let counts_down = |tag: Option<u8>, wanted: u8, left: &mut usize| {
            *left -= usize::from(tag == Some(wanted));
            *left == 0
        };
        let before = match &mut armed.at {
            At::Byte(at) => {
                let here = at.checked_sub(passed).filter(|here| *here < whole as u64);
                here.map(|here| here as usize)
            }
            At::Before(tag, left) => counts_down(piece.begins, *tag, left).then_some(0),
            At::After(tag, left) => counts_down(piece.ends, *tag, left).then_some(whole),
        }?;
        let fault = armed.fault;
        state.armed = None;
        drop(state);
        self.struck.send_modify(|struck| *struck += 1);
        Some(match fault {
            Fault::Truncate => (Fault::Close, before + (whole - before) / 2),
            fault => (fault, before),
        })
    }
}
