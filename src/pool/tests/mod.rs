//! Pools against a server that misbehaves on demand.

mod model;
mod stalled;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::fake::{self, setup, until};

/// A connection that came back between a client's look at the idle list and
/// its entry into the queue was seen by nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_waits_beside_an_idle_connection() {
    let s = setup("pool_size = 1\npool_wait_timeout = \"2s\"").await;
    let clients: Vec<_> = (1..3)
        .map(|n| {
            let pool = s.pool.clone();
            tokio::spawn(async move {
                for i in 0..30_000 {
                    drop(pool.checkout().await.expect("a turn"));
                    // They meet at every point of each other's way.
                    for _ in 0..i * n % 1_000 {
                        std::hint::spin_loop();
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("no client waited in vain");
    }
}

/// The server has moved: the secret says where, and the old place is silent.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_is_adopted_although_the_old_server_is_gone() {
    let s = setup("pool_size = 2\nserver_idle_timeout = \"1s\"").await;
    let moved = fake::Server::start().await;
    s.server.room.store(0, Relaxed);
    s.server.hang_up();
    while s.pool.checkout().await.is_ok() {
        tokio::task::yield_now().await; // it takes a moment until it shows
    }
    s.store.put("two", "u1", moved.port);
    until("the move is followed", || {
        let counts = s.pool.counts();
        let in_force = counts.generations.first();
        in_force.is_some_and(|g| g.generation.credential.version.as_str() == "two")
    })
    .await;
    s.pool.checkout().await.expect("the new server");
}

/// What stopped the replacement of idle connections must not stop it for ever.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_generation_drains_although_a_login_failed_meanwhile() {
    let s = setup("pool_size = 4").await;
    let mut leases = Vec::new();
    for _ in 0..3 {
        leases.push(s.pool.checkout().await.expect("a connection"));
    }
    drop(leases);
    until("three are idle", || s.pool.counts().idle == 3).await;
    // The new version logs in once, and then the server takes no more.
    s.server.room.store(1, Relaxed);
    s.store.put("two", "u2", s.server.port);
    until("a login failed", || s.pool.counts().problem.is_some()).await;
    s.server.room.store(usize::MAX, Relaxed);
    until("no old connection is left", || {
        let counts = s.pool.counts();
        counts.problem.is_none() && counts.generations.len() == 1
    })
    .await;
}

/// A pool that a reload has replaced keeps nothing, so it has no minimum.
#[tokio::test(flavor = "multi_thread")]
async fn a_lingering_pool_does_not_log_in_for_nobody() {
    let s = setup("pool_size = 4\nmin_pool_size = 2").await;
    until("the minimum", || s.pool.counts().idle == 2).await;
    s.pool.linger();
    until("it has closed them", || s.pool.is_empty()).await;
    let logins = s.server.logins.load(Relaxed);
    // Two of its sweeps: there is nothing to wait for but that nothing happens.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(s.server.logins.load(Relaxed), logins);
}

/// The servers of a new generation may be others: another version, another
/// user. What clients are told at their login must be theirs.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_old_generation_reported_is_forgotten() {
    let s = setup("pool_size = 2").await;
    let profile = crate::pool::Profile::initial();
    let told: std::sync::Arc<[u8]> = b"what u1 was told".as_slice().into();
    s.pool.profiles.remember(&profile, told.clone());
    assert_eq!(s.pool.profiles.reported(&profile), Some(told));
    s.store.put("two", "u2", s.server.port);
    until("adopted", || {
        let counts = s.pool.counts();
        let in_force = counts.generations.first();
        in_force.is_some_and(|g| g.generation.credential.version.as_str() == "two")
    })
    .await;
    until("forgotten", || s.pool.profiles.reported(&profile).is_none()).await;
}

/// The server hung up between the end of one lease and the next.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_connection_is_not_handed_to_who_waits() {
    let s = setup("pool_size = 1").await;
    let mut lease = s.pool.checkout().await.expect("a connection");
    let pool = s.pool.clone();
    let waiter = tokio::spawn(async move { pool.checkout().await });
    until("it waits", || s.pool.counts().waiting == 1).await;
    s.server.hang_up();
    while lease.server.stream.is_quiet() {
        tokio::task::yield_now().await;
    }
    drop(lease);
    let next = waiter.await.expect("no panic");
    let mut next = next.expect("another connection");
    assert!(next.server.stream.is_quiet());
}

/// Who has had a turn comes after everybody who waits: at one server
/// connection, clients that want it all the time take it in turns.
#[tokio::test]
async fn the_queue_is_fair() {
    let s = setup("pool_size = 1").await;
    let turns = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let lease = s.pool.checkout().await.expect("a connection");
    let mut clients = Vec::new();
    for n in 0..20 {
        let (pool, turns) = (s.pool.clone(), turns.clone());
        clients.push(tokio::spawn(async move {
            for _ in 0..10 {
                let lease = pool.checkout().await.expect("a turn");
                turns.lock().expect("not poisoned").push(n);
                // On this runtime it is back in the queue before anybody else
                // is served.
                drop(lease);
            }
        }));
        until("it waits", || s.pool.counts().waiting == n + 1).await;
    }
    drop(lease);
    for client in clients {
        client.await.expect("no panic");
    }
    let expected: Vec<usize> = (0..10).flat_map(|_| 0..20).collect();
    assert_eq!(*turns.lock().expect("not poisoned"), expected);
}

/// Nothing was heard of the network for a while, and nothing is.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_idle_for_long_is_tried_before_it_is_used() {
    let s = setup("pool_size = 2\nserver_check_delay = \"1s\"\nconnect_timeout = \"300ms\"").await;
    let settled = s.pool.seconds() + 3;
    until("it is stale", || s.pool.seconds() >= settled).await;
    assert!(s.pool.try_checkout().is_none(), "not without a trial");
    let logins = s.server.logins.load(Relaxed);
    drop(s.pool.checkout().await.expect("it answers"));
    assert_eq!(s.server.logins.load(Relaxed), logins);

    let settled = s.pool.seconds() + 3;
    until("it is stale again", || s.pool.seconds() >= settled).await;
    s.server.mute.store(true, Relaxed);
    s.pool.checkout().await.expect("a new one");
    assert_eq!(s.server.logins.load(Relaxed), logins + 1);
}

/// What a pool knows it says at once, and goes on trying.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_server_that_is_down() {
    let s = setup("pool_size = 2\npool_wait_timeout = \"60s\"").await;
    s.server.room.store(0, Relaxed);
    s.server.hang_up();
    while s.pool.checkout().await.is_ok() {
        tokio::task::yield_now().await; // it takes a moment until it shows
    }
    let asked = std::time::Instant::now();
    for _ in 0..1000 {
        let refused = s.pool.checkout().await.err();
        assert_eq!(
            refused,
            Some(crate::pool::CheckoutError::Refused("53300".into()))
        );
    }
    assert!(
        asked.elapsed() < Duration::from_secs(2),
        "{:?}",
        asked.elapsed()
    );
    s.server.room.store(usize::MAX, Relaxed);
    until("it is back", || s.pool.counts().problem.is_none()).await;
    s.pool.checkout().await.expect("a connection");
}
