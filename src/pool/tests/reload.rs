//! Other options for a pool at work.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::pool::fake::{self, Setup, setup, until};
use crate::pool::{CheckoutError, Database, LoginTrouble};
use crate::upstream;

/// Puts the options into force that `change` makes of those there are.
fn reload(s: &Setup, change: impl FnOnce(&mut Database)) {
    let mut database = Database::clone(&s.pool.database());
    change(&mut database);
    s.pool.reconfigure(&Arc::new(database));
}

fn move_to(s: &Setup, port: u16) {
    reload(s, |d| {
        let options = upstream::Options::clone(&d.upstream);
        d.upstream = Arc::new(upstream::Options {
            port: Some(port),
            ..options
        });
    });
}

fn number_in_force(s: &Setup) -> Option<u64> {
    let counts = s.pool.counts();
    counts.in_force().map(|g| g.generation.number)
}

/// Everything that is open or about to be.
fn size(s: &Setup) -> usize {
    let counts = s.pool.counts();
    counts.active + counts.idle + counts.opening
}

/// Clients that wait must not keep a pool above its new ceiling.
#[tokio::test(flavor = "multi_thread")]
async fn a_lowered_ceiling_is_reached_although_clients_wait() {
    let s = setup("pool_size = 5").await;
    let mut leases = Vec::new();
    for _ in 0..5 {
        leases.push(s.pool.checkout(None).await.expect("a connection"));
    }
    reload(&s, |d| d.pool_size = 2);
    let waiters: Vec<_> = (0..4)
        .map(|_| {
            let pool = s.pool.clone();
            tokio::spawn(async move { pool.checkout(None).await.map(drop) })
        })
        .collect();
    until("four wait", || s.pool.counts().waiting == 4).await;
    for left in (2..5).rev() {
        leases.pop();
        until("it is closed", || size(&s) == left).await;
        assert_eq!(s.pool.counts().waiting, 4);
    }
    leases.clear();
    for waiter in waiters {
        waiter.await.expect("no panic").expect("a turn");
    }
    assert!(size(&s) <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lowered_ceiling_closes_what_is_idle() {
    let s = setup("pool_size = 3").await;
    let mut leases = Vec::new();
    for _ in 0..3 {
        leases.push(s.pool.checkout(None).await.expect("a connection"));
    }
    leases.clear();
    until("three are idle", || s.pool.counts().idle == 3).await;
    reload(&s, |d| d.pool_size = 1);
    assert_eq!((s.pool.counts().idle, size(&s)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raised_ceiling_serves_who_waits() {
    let s = setup("pool_size = 1").await;
    let first = s.pool.checkout(None).await.expect("a connection");
    let pool = s.pool.clone();
    let waiter = tokio::spawn(async move { pool.checkout(None).await.map(drop) });
    until("one waits", || s.pool.counts().waiting == 1).await;
    reload(&s, |d| d.pool_size = 2);
    waiter.await.expect("no panic").expect("a turn");
    drop(first);
    assert_eq!(number_in_force(&s), Some(1), "nothing drains");
}

/// The new place is proved, and what logged in at the old one drains.
#[tokio::test(flavor = "multi_thread")]
async fn another_server_is_moved_to_within_the_ceiling() {
    let s = setup("pool_size = 2").await;
    let moved = fake::Server::start().await;
    let held = s.pool.checkout(None).await.expect("a connection");
    move_to(&s, moved.port);
    until("the move", || number_in_force(&s) == Some(2)).await;
    assert!(size(&s) <= 2);
    let counts = s.pool.counts();
    assert_eq!(counts.generations.len(), 2, "the one that is held drains");
    let new = s.pool.checkout(None).await.expect("the new server");
    assert_eq!(new.backend().target.port, moved.port);
    assert_eq!(held.backend().target.port, s.server.port);
    drop((held, new));
    until("it has drained", || s.pool.counts().generations.len() == 1).await;
    // The same again changes nothing.
    let logins = moved.logins.load(Relaxed);
    move_to(&s, moved.port);
    s.pool.checkout(None).await.expect("a connection");
    assert_eq!(
        (number_in_force(&s), moved.logins.load(Relaxed)),
        (Some(2), logins)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_works_is_kept_while_the_new_server_does_not() {
    let s = setup("pool_size = 2").await;
    let moved = fake::Server::start().await;
    moved.room.store(0, Relaxed);
    move_to(&s, moved.port);
    until("it is tried", || {
        let problem = s.pool.counts().problem;
        problem.is_some_and(|why| why.contains("as the reloaded configuration says"))
    })
    .await;
    let counts = s.pool.counts();
    assert!(matches!(counts.trouble, Some(LoginTrouble::NotMoved(_))));
    assert!(counts.works(), "clients are served as before");
    let old = s.pool.checkout(None).await.expect("the old server");
    assert_eq!(old.backend().target.port, s.server.port);
    drop(old);
    moved.room.store(usize::MAX, Relaxed);
    until("the move", || number_in_force(&s) == Some(2)).await;
    assert!(s.pool.counts().problem.is_none());
    // A mistake that is taken back before anything came of it.
    move_to(&s, 1);
    until("it is tried", || s.pool.counts().problem.is_some()).await;
    move_to(&s, moved.port);
    until("it is forgotten", || s.pool.counts().problem.is_none()).await;
    assert_eq!(number_in_force(&s), Some(2));
}

/// The version in force does not log in where the configuration leads: that says nothing against
/// the version.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_not_blamed_for_the_place_that_a_reload_names() {
    let s = setup("pool_size = 2").await;
    s.store.put("two", "u1", 1);
    until("it is refused", || {
        matches!(s.pool.counts().trouble, Some(LoginTrouble::Refused(_)))
    })
    .await;
    move_to(&s, 1);
    until("the reload is named", || {
        matches!(s.pool.counts().trouble, Some(LoginTrouble::NotMoved(_)))
    })
    .await;
    assert!(s.pool.counts().works());
}

/// The server is gone, and the configuration says where it is now.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_does_not_hold_up_the_move() {
    let s = setup("pool_size = 2\npool_wait_timeout = \"20s\"").await;
    let moved = fake::Server::start().await;
    s.server.room.store(0, Relaxed);
    s.server.hang_up();
    until("it is known to be down", || {
        s.pool.try_checkout(&"c".into(), &Default::default());
        s.pool.counts().idle == 0
    })
    .await;
    let pool = s.pool.clone();
    drop(tokio::spawn(
        async move { pool.checkout(None).await.map(drop) },
    ));
    until("it is tried", || s.pool.counts().problem.is_some()).await;
    move_to(&s, moved.port);
    until("the move", || number_in_force(&s) == Some(2)).await;
    s.pool.checkout(None).await.expect("the new server");
}

/// Its version drains like an older one, and the next one counts on.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_may_go_and_come_back() {
    let s = setup("pool_size = 1").await;
    s.pool.count(7, 0, 0, 0);
    let held = s.pool.checkout(None).await.expect("a connection");
    s.pool.linger();
    let counts = s.pool.counts();
    assert!(counts.in_force().is_none() && counts.generations.len() == 1);
    let refused = s.pool.checkout(None).await.err();
    assert_eq!(refused, Some(CheckoutError::Shut));
    assert!(!s.pool.has_ended());
    reload(&s, |_| {});
    let pool = s.pool.clone();
    let waiter = tokio::spawn(async move { pool.checkout(None).await.map(drop) });
    until("one waits", || s.pool.counts().waiting == 1).await;
    assert_eq!(size(&s), 1, "the ceiling holds for both");
    drop(held);
    waiter.await.expect("no panic").expect("a turn");
    assert_eq!(number_in_force(&s), Some(2));
    s.pool.linger();
    until("it has ended", || s.pool.has_ended()).await;
    let remains = s.pool.remains();
    assert_eq!(remains.generations, 2);
    assert_eq!(remains.stats.transactions.load(Relaxed), 7);
}
