//! A server that begins logins and does not finish them, as a Postgres does
//! that waits for a lock, or for whoever vouches for a password.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::fake::{Setup, setup, until};

/// One connection is leased, one login stalls and has been given up.
async fn given_up(keys: &str) -> (Setup, crate::pool::Lease) {
    let s = setup(&format!("pool_size = 2\n{keys}")).await;
    let lease = s.pool.checkout(None).await.expect("the first one");
    s.server.stalled.send_replace(true);
    let pool = s.pool.clone();
    tokio::spawn(async move { pool.checkout(None).await });
    until("a login was given up", || {
        s.pool.state().slots.abandoned() == 1
    })
    .await;
    (s, lease)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_was_given_up_keeps_its_slot() {
    let (s, lease) = given_up("connect_timeout = \"2s\"").await;
    assert_eq!(s.server.logins.load(Relaxed), 2);
    // Five times what it takes until a server that is down is tried again.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(s.pool.state().slots.abandoned(), 1);
    assert_eq!(
        s.server.logins.load(Relaxed),
        2,
        "there is no slot for more"
    );
    // Nor has its generation drained, were the other connection gone.
    let generation = lease.generation.clone();
    assert_eq!(generation.arriving.load(Relaxed), 1);
    // It reads that we are gone, and hangs up too.
    s.server.stalled.send_replace(false);
    until("it is let go of", || s.pool.state().slots.abandoned() == 0).await;
    until("and done with", || generation.arriving.load(Relaxed) == 0).await;
    let second = s.pool.checkout(None).await.expect("the slot is free");
    assert_eq!(s.server.most.load(Relaxed), 2);
    drop((lease, second));
    until("nothing is lost", || {
        let state = s.pool.state();
        (state.slots.taken(), state.idle.len(), state.slots.closing()) == (2, 2, 0)
    })
    .await;
}

/// Logins hang, but what is there works: nothing of it is closed to try again.
#[tokio::test(flavor = "multi_thread")]
async fn what_works_is_kept() {
    let (s, lease) = given_up("connect_timeout = \"2s\"").await;
    drop(lease); // whoever waits has its turn, and gives it back
    until("it is idle", || s.pool.counts().idle == 1).await;
    // Nor for a probe of another version.
    s.store.put("two", "u1", s.server.port);
    let mut seen = 0;
    until("the server is given another try", || {
        let state = s.pool.state();
        if state.slots.abandoned() > 0 {
            seen += 1;
            assert_eq!(state.idle.len(), 1);
        }
        state.slots.abandoned() == 0
    })
    .await;
    assert!(seen > 10);
    s.server.stalled.send_replace(false);
    until("all is well", || s.pool.counts().problem.is_none()).await;
}

/// A host that vanished in the middle of a login never hangs up.
#[tokio::test(flavor = "multi_thread")]
async fn but_not_for_ever() {
    let (s, _lease) = given_up("connect_timeout = \"300ms\"").await;
    until("others are tried", || s.server.logins.load(Relaxed) > 4).await;
    let state = s.pool.state();
    let slots = &state.slots;
    let all = slots.leased() + slots.opening() + slots.abandoned() + slots.closing();
    assert_eq!(slots.taken(), all + state.idle.len());
}

/// A pool that is full of such logins is not full of connections.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_server_stays_down() {
    let s = setup("pool_size = 1\nconnect_timeout = \"1s\"\non_down = \"refuse\"").await;
    s.server.stalled.send_replace(true);
    s.server.hang_up();
    while s.pool.checkout(None).await.is_ok() {
        tokio::task::yield_now().await; // it takes a moment until it shows
    }
    let mut seen = 0;
    until("the slot is free again", || {
        let state = s.pool.state();
        if state.slots.abandoned() > 0 {
            seen += 1;
            assert!(!state.search.is_good());
        }
        seen > 0 && state.slots.abandoned() == 0
    })
    .await;
    // Clients were told all the time, and are served when it is back.
    assert!(seen > 10);
    s.server.stalled.send_replace(false);
    until("it is back", || s.pool.counts().problem.is_none()).await;
    s.pool.checkout(None).await.expect("a connection");
}
