//! Passing a cancel request on to the replica that has the session.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::warn;

use super::channel;
use super::key::{FleetKey, KeyError};
use super::mark::Marks;
use super::metrics::{FleetMetrics, Outcome};
use super::own::Own;
use super::peers::Peers;
use super::request::{CancelRequest, Request};
use super::sealed::{Seal, SealedKey};
use super::{Options, place};
use crate::metrics::Metrics;

/// Until the other replica has begun to speak. One that is gone, or hangs, costs no more.
const REACH: Duration = Duration::from_secs(2);
/// From then to its answer: it may wait ten seconds for its server, and for one cancel before.
const ANSWER: Duration = Duration::from_secs(22);
/// Requests that are passed on at the same time.
const AT_ONCE: usize = 64;
/// A request waits so long for its turn.
const TURN: Duration = Duration::from_secs(2);
/// The replicas that one request is sent to: there are few with the same mark.
const SAME_MARK: usize = 8;

/// This replica, among the others.
pub struct Fleet {
    pub(super) key: FleetKey,
    seal: Seal,
    marks: Marks,
    peers: Peers,
    /// Where the others find this one.
    here: SocketAddr,
    pub(super) own: Own,
    turns: Semaphore,
    pub(super) metrics: FleetMetrics,
}

impl Fleet {
    /// `bound`: where this replica listens for the others.
    ///
    /// # Errors
    /// [`KeyError`]
    pub async fn join(
        options: &Options,
        bound: SocketAddr,
        metrics: &Arc<Metrics>,
    ) -> Result<Arc<Self>, KeyError> {
        let key = FleetKey::read(&options.key_file)?;
        let peers = Peers::new(options.peers.clone());
        let here = place::find(options.replica.as_ref(), bound, &peers).await;
        Self::new(key, peers, here, metrics).map(Arc::new)
    }

    fn new(
        key: FleetKey,
        peers: Peers,
        here: SocketAddr,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, KeyError> {
        Ok(Self {
            seal: Seal::new(&key)?,
            marks: Marks::new(&key)?,
            key,
            peers,
            here,
            own: Own::new(),
            turns: Semaphore::new(AT_ONCE),
            metrics: FleetMetrics(metrics.clone()),
        })
    }

    /// Where the others find this replica.
    pub fn here(&self) -> SocketAddr {
        self.here
    }

    /// A key for a session with this process id; `None` if the system gives no random numbers.
    pub fn long_key(&self, pid: u32) -> Option<SealedKey> {
        self.seal.seal(pid, self.here)
    }

    /// A process id for a session with this short key.
    pub fn pid(&self, random: u32, key: [u8; 4]) -> u32 {
        self.marks.pid(random, key, self.here)
    }

    /// Passes a request on to the replica that its key names; `true` when the cancel has
    /// landed there. A replica never passes on what it gets from another one.
    pub async fn forward(&self, pid: u32, key: &[u8]) -> bool {
        let replicas = self.replicas(pid, key).await;
        if replicas.is_empty() {
            return false;
        }
        let Ok(Ok(_turn)) = timeout(TURN, self.turns.acquire()).await else {
            self.metrics.sent(Outcome::Busy);
            return false;
        };
        let request = Request::Cancel(CancelRequest {
            pid,
            key: key.to_vec(),
        });
        let asked = replicas.iter().map(|replica| self.ask(*replica, &request));
        join_all(asked).await.contains(&true)
    }

    /// The replicas at which the session may be; this one is none of them.
    async fn replicas(&self, pid: u32, key: &[u8]) -> Vec<SocketAddr> {
        let mut replicas: Vec<SocketAddr> = match key.try_into() {
            Err(_) => self.seal.open(pid, key).into_iter().collect(),
            Ok(short) => {
                let all = self.peers.addresses().await;
                let may_be = |at: &&SocketAddr| self.marks.may_be_at(pid, short, **at);
                all.iter().filter(may_be).copied().collect()
            }
        };
        replicas.retain(|replica| *replica != self.here);
        replicas.truncate(SAME_MARK);
        replicas
    }

    async fn ask(&self, replica: SocketAddr, request: &Request) -> bool {
        let outcome = match self.exchange(replica, request).await {
            Ok(true) => Outcome::Landed,
            Ok(false) => Outcome::Unknown,
            Err(e) => {
                warn!("a cancel request could not be passed on to the replica {replica}: {e}");
                match e.kind() {
                    io::ErrorKind::PermissionDenied => Outcome::Refused,
                    _ => Outcome::Unreachable,
                }
            }
        };
        self.metrics.sent(outcome);
        outcome == Outcome::Landed
    }

    /// Asks a replica for a yes or no.
    pub(super) async fn exchange(
        &self,
        replica: SocketAddr,
        request: &Request,
    ) -> io::Result<bool> {
        let reach = async {
            let stream = TcpStream::connect(replica).await?;
            stream.set_nodelay(true)?;
            channel::ask(stream, &self.key, request).await
        };
        let silent = |_| io::Error::from(io::ErrorKind::TimedOut);
        let asked = timeout(REACH, reach).await.map_err(silent)??;
        timeout(ANSWER, asked.answer()).await.map_err(silent)?
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::net::TcpListener;

    use super::*;

    pub fn fleet(byte: u8, here: SocketAddr, peers: &[SocketAddr]) -> Arc<Fleet> {
        let names = peers.iter().map(|p| (p.ip().to_string(), p.port()));
        let peers = Peers::new(names.collect());
        let fleet = Fleet::new(FleetKey::of(byte), peers, here, &Metrics::new());
        Arc::new(fleet.expect("a fleet"))
    }

    #[tokio::test]
    async fn no_key_but_a_foreign_one_of_the_fleet_leads_anywhere() {
        let [a, b, c] = [1, 2, 3].map(|n| SocketAddr::from(([127, 0, 0, n], 6434)));
        let all = [a, b, c];
        let [here, there] = [a, b].map(|at| fleet(1, at, &all));
        let stranger = fleet(2, b, &all);

        let long = there.long_key(7).expect("a key");
        assert_eq!(here.replicas(7, &long).await, [b]);
        assert!(there.replicas(7, &long).await.is_empty(), "it is there");
        assert!(here.replicas(8, &long).await.is_empty());
        let foreign = stranger.long_key(7).expect("a key");
        assert!(here.replicas(7, &foreign).await.is_empty());
        assert!(here.replicas(7, &[0; 32]).await.is_empty());

        let pid = there.pid(0x1234_5678, [1, 2, 3, 4]);
        assert_eq!(here.replicas(pid, &[1, 2, 3, 4]).await, [b]);
        assert!(there.replicas(pid, &[1, 2, 3, 4]).await.is_empty());
    }

    /// A replica whose process hangs: its system accepts, and nothing comes.
    #[tokio::test]
    async fn a_silent_replica_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let there = listener.local_addr().expect("an address");
        let here = SocketAddr::from(([127, 0, 0, 1], 1));
        let key = fleet(1, there, &[]).long_key(7).expect("a key");
        assert!(!fleet(1, here, &[]).forward(7, &key).await);
        // Nor one that is gone.
        drop(listener);
        assert!(!fleet(1, here, &[]).forward(7, &key).await);
    }
}
