//! Pools against a server that misbehaves on demand.

mod fake;

use fake::setup;

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
