//! Pools against a server that misbehaves on demand.

mod explore;
mod explored;
mod model;
mod protocol;
mod reload;
mod replay;
mod stalled;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::Quota;
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
                    drop(pool.checkout(None).await.expect("a turn"));
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
    let s = setup("pool_size = 2\nserver_idle_timeout = \"1s\"\non_down = \"refuse\"").await;
    let moved = fake::Server::start().await;
    s.server.room.store(0, Relaxed);
    s.server.hang_up();
    while s.pool.checkout(None).await.is_ok() {
        tokio::task::yield_now().await; // it takes a moment until it shows
    }
    s.store.put("two", "u1", moved.port);
    until("the move is followed", || {
        let counts = s.pool.counts();
        let in_force = counts.generations.first();
        in_force.is_some_and(|g| g.generation.credential.version.as_str() == "two")
    })
    .await;
    s.pool.checkout(None).await.expect("the new server");
}

/// What stopped the replacement of idle connections must not stop it for ever.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_generation_drains_although_a_login_failed_meanwhile() {
    let s = setup("pool_size = 4").await;
    let mut leases = Vec::new();
    for _ in 0..3 {
        leases.push(s.pool.checkout(None).await.expect("a connection"));
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

/// A pool that the configuration has no use for keeps nothing, so it has no minimum.
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
    let told_of = |user: &str| {
        let greeting = s.pool.facts.greeting(&crate::pool::Profile::initial());
        let (told, exact) = greeting.expect("known");
        exact
            && told
                .greeting
                .windows(user.len())
                .any(|w| w == user.as_bytes())
    };
    assert!(told_of("u1"));
    s.store.put("two", "u2", s.server.port);
    until("adopted", || {
        let counts = s.pool.counts();
        let in_force = counts.generations.first();
        in_force.is_some_and(|g| g.generation.credential.version.as_str() == "two")
    })
    .await;
    assert!(told_of("u2") && !told_of("u1"));
}

fn names() -> [std::sync::Arc<str>; 2] {
    ["a", "b"].map(std::sync::Arc::from)
}

/// What one identity has used another gets only when it is cleaned; where there
/// is room, each soon has one of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_cleaned_between_identities() {
    let s = setup("pool_size = 1").await;
    let [a, b] = names();
    let mut lease = s.pool.checkout(Some(&a)).await.expect("a connection");
    lease.prepared.insert(1, 1);
    drop(lease);
    assert!(
        s.pool.try_checkout(&b, &Quota::default()).is_none(),
        "not as it is"
    );
    let lease = s.pool.try_checkout(&a, &Quota::default()).expect("its own");
    assert_eq!(lease.prepared.len(), 1);
    drop(lease);
    let lease = s.pool.checkout(Some(&b)).await.expect("cleaned");
    assert!(lease.prepared.is_empty());
    // The one behind it gets it cleaned, too.
    let (pool, waits) = (s.pool.clone(), a.clone());
    let waiter = tokio::spawn(async move { pool.checkout(Some(&waits)).await });
    until("it waits", || s.pool.counts().waiting == 1).await;
    drop(lease);
    let lease = waiter.await.expect("no panic").expect("cleaned");
    assert!(lease.owner.as_ref().is_some_and(|owner| owner.is(&a)));
    assert_eq!(s.server.logins.load(Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn identities_get_connections_of_their_own_where_there_is_room() {
    let s = setup("pool_size = 4").await;
    let [a, b] = names();
    drop(s.pool.checkout(Some(&a)).await.expect("a connection"));
    drop(s.pool.checkout(Some(&b)).await.expect("the same, cleaned"));
    until("one more", || s.pool.counts().idle == 2).await;
    for client in [&a, &b, &a, &b] {
        drop(
            s.pool
                .try_checkout(client, &Quota::default())
                .expect("at once"),
        );
    }
    assert_eq!(s.server.logins.load(Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn or_it_is_not_where_that_is_configured() {
    let s = setup("pool_size = 1\nreset_between_clients = false").await;
    let [a, b] = names();
    let mut lease = s.pool.checkout(Some(&a)).await.expect("a connection");
    lease.prepared.insert(1, 1);
    drop(lease);
    let lease = s
        .pool
        .try_checkout(&b, &Quota::default())
        .expect("as it is");
    assert_eq!(lease.prepared.len(), 1);
}

/// While both wait, a connection stays with the identity that it was of.
#[tokio::test]
async fn who_waits_a_little_longer_is_passed_over_for_the_same_identity() {
    let s = setup("pool_size = 1").await;
    let [a, b] = names();
    let lease = s.pool.checkout(Some(&a)).await.expect("a connection");
    let wait = |client: &std::sync::Arc<str>| {
        let (pool, client) = (s.pool.clone(), client.clone());
        tokio::spawn(async move { pool.checkout(Some(&client)).await })
    };
    let other = wait(&b);
    until("it waits", || s.pool.counts().waiting == 1).await;
    let own = wait(&a);
    until("both wait", || s.pool.counts().waiting == 2).await;
    // As long as the first has not waited twice as long.
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(lease);
    let lease = own.await.expect("no panic").expect("a connection");
    assert_eq!(s.pool.counts().waiting, 1);
    drop(lease);
    let lease = other.await.expect("no panic").expect("a connection");
    assert!(lease.owner.as_ref().is_some_and(|owner| owner.is(&b)));
}

/// The server hung up between the end of one lease and the next.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_connection_is_not_handed_to_who_waits() {
    let s = setup("pool_size = 1").await;
    let mut lease = s.pool.checkout(None).await.expect("a connection");
    let pool = s.pool.clone();
    let waiter = tokio::spawn(async move { pool.checkout(None).await });
    until("it waits", || s.pool.counts().waiting == 1).await;
    s.server.hang_up();
    while lease.is_alive() {
        tokio::task::yield_now().await;
    }
    drop(lease);
    let next = waiter.await.expect("no panic");
    let mut next = next.expect("another connection");
    assert!(next.is_alive());
}

/// Who has had a turn comes after everybody who waits: at one server
/// connection, clients that want it all the time take it in turns.
#[tokio::test]
async fn the_queue_is_fair() {
    let s = setup("pool_size = 1").await;
    let turns = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
    let lease = s.pool.checkout(None).await.expect("a connection");
    let mut clients = Vec::new();
    for n in 0..20 {
        let (pool, turns) = (s.pool.clone(), turns.clone());
        clients.push(tokio::spawn(async move {
            for _ in 0..10 {
                let lease = pool.checkout(None).await.expect("a turn");
                turns.lock().push(n);
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
    assert_eq!(*turns.lock(), expected);
}

/// Nothing was heard of the network for a while, and nothing is.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_idle_for_long_is_tried_before_it_is_used() {
    let s = setup("pool_size = 2\nserver_check_delay = \"1s\"\nconnect_timeout = \"300ms\"").await;
    let settled = s.pool.seconds() + 3;
    until("it is stale", || s.pool.seconds() >= settled).await;
    assert!(
        s.pool
            .try_checkout(&names()[0], &Quota::default())
            .is_none(),
        "not without a trial"
    );
    let logins = s.server.logins.load(Relaxed);
    drop(s.pool.checkout(None).await.expect("it answers"));
    assert_eq!(s.server.logins.load(Relaxed), logins);

    let settled = s.pool.seconds() + 3;
    until("it is stale again", || s.pool.seconds() >= settled).await;
    s.server.mute.store(true, Relaxed);
    s.pool.checkout(None).await.expect("a new one");
    assert_eq!(s.server.logins.load(Relaxed), logins + 1);
}

/// What a pool knows it says at once, and goes on trying.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_server_that_is_down() {
    let s = setup("pool_size = 2\non_down = \"refuse\"").await;
    s.server.room.store(0, Relaxed);
    s.server.hang_up();
    while s.pool.checkout(None).await.is_ok() {
        tokio::task::yield_now().await; // it takes a moment until it shows
    }
    let asked = std::time::Instant::now();
    for _ in 0..1000 {
        let refused = s.pool.checkout(None).await.err();
        assert_eq!(
            refused,
            Some(crate::pool::CheckoutError::Login(
                crate::wire::LoginFailure::Full
            ))
        );
    }
    assert!(
        asked.elapsed() < Duration::from_secs(2),
        "{:?}",
        asked.elapsed()
    );
    s.server.room.store(usize::MAX, Relaxed);
    until("it is back", || s.pool.counts().problem.is_none()).await;
    s.pool.checkout(None).await.expect("a connection");
}
