use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;

use super::*;
use crate::upstream::tests::{credential, target};
use crate::wire::message;

/// What a server at one address does.
#[derive(Clone, Copy, PartialEq)]
enum Does {
    /// Accepts, as a kernel does for a process that is stopped, and says nothing.
    Nothing,
    /// Asks for the password, and then says nothing more.
    Half,
    /// Refuses with this SQLSTATE.
    Refuse(&'static str),
    /// Lets everybody in.
    Welcome,
}

struct Place {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

async fn place(does: Does) -> Place {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let place = Place {
        address: listener.local_addr().unwrap(),
        accepted: accepted.clone(),
    };
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            accepted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut said = Vec::new();
                match does {
                    Does::Nothing => {}
                    Does::Half => said.extend(b"R\0\0\0\x08\0\0\0\x03"),
                    Does::Refuse(code) => {
                        message::error_response(&mut said, "FATAL", code, "no", None);
                    }
                    Does::Welcome => {
                        message::authentication_ok(&mut said);
                        message::ready_for_query(&mut said, b'I');
                    }
                }
                let _ = socket.write_all(&said).await;
                if matches!(does, Does::Refuse(_)) {
                    return;
                }
                let mut rest = [0; 256];
                while socket.read(&mut rest).await.is_ok_and(|n| n > 0) {}
            });
        }
    });
    place
}

/// A port at which nobody listens.
async fn nobody() -> Place {
    let mut place = place(Does::Nothing).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    place.address = listener.local_addr().unwrap();
    place
}

struct Tried {
    result: Result<Server, ConnectError>,
    abandoned: usize,
}

/// One login at a host that has these addresses.
async fn log_in(places: &[&Place], cache: &LoginCache, limit: Duration) -> Tried {
    let mut target = target(5432);
    target.allow_cleartext = true;
    let (target, credential, wishes) = (Arc::new(target), credential(), Wishes::default());
    let with = With {
        target: &target,
        credential: &credential,
        cache,
        wishes: &wishes,
    };
    let addresses = places.iter().map(|p| Address::Tcp(p.address)).collect();
    let doors = Doors::new(with, addresses, Instant::now() + limit);
    let mut abandoned = Vec::new();
    let result = at_place(&target, with, doors, SessionAttrs::Any, &mut abandoned).await;
    Tried {
        result,
        abandoned: abandoned.len(),
    }
}

const LONG: Duration = Duration::from_secs(60);

fn address(tried: &Tried) -> Option<SocketAddr> {
    tried.result.as_ref().ok()?.stream.peer_address()
}

#[tokio::test]
async fn an_address_that_accepts_and_is_silent_does_not_keep_a_login_back() {
    let (silent, there) = (place(Does::Nothing).await, place(Does::Welcome).await);
    let cache = LoginCache::default();
    let began = Instant::now();
    let tried = log_in(&[&silent, &there], &cache, LONG).await;
    assert_eq!(address(&tried), Some(there.address));
    assert!(began.elapsed() < LONG / 4);
    // The silent one may count it until it reads that nobody is there any more.
    assert_eq!(tried.abandoned, 1);
}

#[tokio::test]
async fn the_address_that_failed_or_was_refused_is_passed_over_at_once() {
    let there = place(Does::Welcome).await;
    for first in [nobody().await, place(Does::Refuse("53300")).await] {
        let tried = log_in(&[&first, &there], &LoginCache::default(), LONG).await;
        assert_eq!(address(&tried), Some(there.address));
        assert_eq!(tried.abandoned, 0);
    }
    // What the credential is told holds for all of them.
    let first = place(Does::Refuse("28P01")).await;
    let tried = log_in(&[&first, &there], &LoginCache::default(), LONG).await;
    assert!(tried.result.err().unwrap().is_authentication());
    assert_eq!(there.accepted.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_address_that_stops_in_the_middle_has_its_share_of_the_time() {
    let (half, there) = (place(Does::Half).await, place(Does::Welcome).await);
    let limit = Duration::from_secs(2);
    let tried = log_in(&[&half, &there], &LoginCache::default(), limit).await;
    assert_eq!(address(&tried), Some(there.address));
    assert_eq!(tried.abandoned, 1);
}

#[tokio::test]
async fn no_address_lets_us_in() {
    let (a, b) = (nobody().await, place(Does::Nothing).await);
    let limit = Duration::from_millis(500);
    let tried = log_in(&[&a, &b], &LoginCache::default(), limit).await;
    let error = tried.result.err().unwrap().to_string();
    assert!(error.contains("127.0.0.1: Connection refused"), "{error}");
    assert!(error.contains("; 127.0.0.1: no answer in time"), "{error}");
    // A server that says why tells more than one that says nothing.
    let full = place(Does::Refuse("53300")).await;
    let tried = log_in(&[&a, &full, &b], &LoginCache::default(), limit).await;
    assert_eq!(tried.result.err().unwrap().sqlstate(), "53300");
}
