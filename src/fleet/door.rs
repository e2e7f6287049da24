//! The listener for the other replicas.
//!
//! It is an address of its own, not that of clients: there is no load balancer in front of it
//! whose PROXY header would be due, no TLS of clients, and a firewall can close it to everybody
//! but replicas.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, info};

use super::Fleet;
use super::channel::hear;
use super::metrics::Outcome;
use super::own;
use super::request::{CancelRequest, Request};
use crate::net::{PassedSockets, Shared};

/// Connections at the same time. Beyond them the next one waits to be accepted.
const AT_ONCE: usize = 256;
/// How long the request of a connection may take to arrive.
const REQUEST: Duration = Duration::from_secs(2);
/// After a failed accept, for descriptors to become free.
const PAUSE: Duration = Duration::from_millis(100);

/// What cancels.
pub trait Cancels: Send + Sync {
    /// Executes a request that is for a session of this replica, and passes it on to no other
    /// one; `false` if there is no such session.
    fn cancel(
        self: Arc<Self>,
        pid: u32,
        key: Vec<u8>,
    ) -> Pin<Box<dyn Future<Output = bool> + Send>>;
}

/// The bound listener.
pub struct Door {
    listener: TcpListener,
    address: SocketAddr,
}

impl Door {
    /// Binds `[fleet] address`, unless a socket that is bound to it was passed on.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn bind(address: &str, passed: &mut PassedSockets) -> io::Result<Self> {
        let listener = passed.bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The socket, for the process that replaces this one.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn share(&self) -> io::Result<Shared> {
        Shared::tcp(&self.listener)
    }

    /// Serves until `closing` becomes true.
    pub async fn serve(
        self,
        fleet: Arc<Fleet>,
        cancels: Arc<dyn Cancels>,
        mut closing: watch::Receiver<bool>,
    ) {
        info!(
            "other replicas on {}, this one at {}",
            self.address,
            fleet.here()
        );
        tokio::spawn(own::watch(Arc::downgrade(&fleet), closing.clone()));
        let places = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            let accepted = tokio::select! {
                _ = closing.wait_for(|closing| *closing) => return,
                accepted = async {
                    let place = places.clone().acquire_owned().await;
                    (place, self.listener.accept().await)
                } => accepted,
            };
            match accepted {
                (Ok(place), Ok((stream, peer))) => {
                    let (fleet, cancels) = (fleet.clone(), cancels.clone());
                    tokio::spawn(async move {
                        serve(&fleet, cancels, stream, peer).await;
                        drop(place);
                    });
                }
                (_, Err(e)) => {
                    debug!("cannot accept a replica: {e}");
                    sleep(PAUSE).await;
                }
                (Err(_), _) => return,
            }
        }
    }
}

async fn serve(fleet: &Fleet, cancels: Arc<dyn Cancels>, stream: TcpStream, peer: SocketAddr) {
    let _ = stream.set_nodelay(true);
    let heard = timeout(REQUEST, hear(stream, &fleet.key)).await;
    let heard = heard.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let (request, owed) = match heard {
        Ok(heard) => heard,
        Err(e) => {
            debug!(%peer, "no request of a replica: {e}");
            return fleet.metrics.received(Outcome::Refused);
        }
    };
    let yes = match request {
        Request::Who(instance) => instance == fleet.own.instance,
        Request::Cancel(CancelRequest { pid, key }) => {
            let landed = cancels.cancel(pid, key).await;
            fleet.metrics.received(match landed {
                true => Outcome::Landed,
                false => Outcome::Unknown,
            });
            landed
        }
    };
    if let Err(e) = owed.answer(yes).await {
        debug!(%peer, "a replica did not wait for its answer: {e}");
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::forward::tests::fleet;
    use super::*;

    /// Notes what it was asked.
    #[derive(Default)]
    struct Noted(Mutex<Vec<(u32, Vec<u8>)>>);

    impl Cancels for Noted {
        fn cancel(
            self: Arc<Self>,
            pid: u32,
            key: Vec<u8>,
        ) -> Pin<Box<dyn Future<Output = bool> + Send>> {
            self.0.lock().push((pid, key));
            Box::pin(async { true })
        }
    }

    #[tokio::test]
    async fn replicas_are_heard_and_strangers_are_not() {
        let door = Door::bind("127.0.0.1:0", &mut PassedSockets::default()).await;
        let door = door.expect("bound");
        let (there, noted) = (door.address(), Arc::new(Noted::default()));
        let (close, closing) = watch::channel(false);
        let at_there = fleet(1, there, &[]);
        let served = tokio::spawn(door.serve(at_there.clone(), noted.clone(), closing));
        let here = SocketAddr::from(([127, 0, 0, 1], 1));
        let key = at_there.long_key(7).expect("a key");

        assert!(fleet(1, here, &[]).forward(7, &key).await);
        assert_eq!(*noted.0.lock(), [(7, key.to_vec())]);
        // Of another fleet: it has the client's key, and not the one of the replicas.
        let stranger = fleet(2, here, &[]);
        let own = fleet(2, there, &[]).long_key(7).expect("a key");
        assert!(!stranger.forward(7, &own).await);
        // A client that says what it would say elsewhere.
        let mut client = TcpStream::connect(there).await.expect("connected");
        client.write_all(&[0; 200]).await.expect("sent");
        let mut said = Vec::new();
        let _ = client.read_to_end(&mut said).await;
        assert_eq!(said.len(), 32, "a random number, and nothing else");
        assert_eq!(noted.0.lock().len(), 1);

        close.send_replace(true);
        served.await.expect("it ends");
        assert!(!fleet(1, here, &[]).forward(7, &key).await);
    }
}
