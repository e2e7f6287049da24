//! A server that ends a session says why, and the client hears that and nothing else.

use tokio::io::AsyncReadExt;
use tokio::time::{Duration, timeout};

use crate::common::raw::{Raw, query, sqlstate, take};
use crate::common::{Cluster, Proxy, new_password};

/// What comes until the connection is closed.
async fn last_words(raw: &mut Raw) -> Vec<(u8, Vec<u8>)> {
    let mut bytes = Vec::new();
    let read = timeout(Duration::from_secs(20), raw.stream.read_to_end(&mut bytes)).await;
    read.expect("an end within 20 s").expect("read");
    std::iter::from_fn(|| take(&mut bytes)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_word_of_the_server_is_the_last_word() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    // Idle server connections end as well, which no client sees.
    cluster
        .execute("alter role app_user set idle_session_timeout = '500ms'")
        .await;
    let secret = cluster.secret("app_user", &password);
    for more in [
        "pool_mode = \"transaction\"",
        "pool_mode = \"session\"",
        "pool_mode = \"session\"\nsession_migration = \"safe\"",
    ] {
        let proxy = Proxy::with_one_database(&secret, more).start().await;
        // What it leaves there keeps it on its connection, in transaction mode as well.
        let mut keeps = Raw::connect(&proxy).await;
        keeps.ask(&query("create temporary table t ()")).await;
        let said = last_words(&mut keeps).await;
        assert_eq!(sqlstate(&said).as_deref(), Some("57P05"), "{more}");
        let errors = said.iter().filter(|(tag, _)| *tag == b'E').count();
        assert_eq!(errors, 1, "{more}: {said:?}");
        let mut next = Raw::connect(&proxy).await;
        let answer = next.ask(&query("select 1")).await;
        assert_eq!(sqlstate(&answer), None, "{more}");
    }
}
