//! A pool with a server and a store that a test controls: for tests and
//! micro-benchmarks.

mod server;
mod store;

use std::sync::Arc;
use std::time::Duration;

use super::{Pool, Remains, Shared};
use crate::audit::Audit;
use crate::config;
use crate::metrics::Metrics;
use crate::secret::{Follower, SecretId};

pub use server::Server;
pub use store::Store;

/// A pool and what it talks to.
pub struct Setup {
    pub pool: Arc<Pool>,
    pub server: Arc<Server>,
    pub store: Arc<Store>,
    _directory: tempfile::TempDir,
}

/// A pool in front of a server, which has logged in once. `keys`: what stands in
/// `[database.d]` beside the rest.
///
/// # Panics
/// The keys are wrong, or the pool does not start.
pub async fn setup(keys: &str) -> Setup {
    let server = Server::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("audit.jsonl");
    let text = format!(
        "[audit]\npath = {log:?}\n[database.d]\nsecret = \"s\"\nallow_cleartext = true\n{keys}\n\
         [[client]]\nname = \"c\"\nnetwork = [\"127.0.0.0/8\"]\ndatabases = [\"d\"]\n"
    );
    let config = config::parse(&text, "test.toml".as_ref()).expect("a configuration");
    let metrics = Metrics::new();
    let audit = Audit::open(&config.audit, &metrics).expect("a log");
    let store = Arc::new(Store::new("one", "u1", server.port));
    let secret = SecretId::new("s");
    let refresh = Duration::from_secs(60);
    let follower = Follower::start(secret.clone(), store.clone(), refresh, &metrics);
    let database = config.databases["d"].clone();
    let pool = Pool::start(
        database,
        secret,
        follower,
        metrics,
        audit,
        Shared::default(),
        Remains::default(),
    );
    drop(pool.checkout(None).await.expect("the first login"));
    until("it is idle", || pool.counts().idle > 0).await;
    Setup {
        pool,
        server,
        store,
        _directory: directory,
    }
}

/// Waits until `done`, at most ten seconds; `what` says what for.
///
/// # Panics
/// It takes longer.
pub async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(std::time::Instant::now() < deadline, "{what}: not in 10 s");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
