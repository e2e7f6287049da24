//! The end of a replication stream.

use std::time::{Duration, Instant};

use crate::common::raw::{Raw, message, query, sqlstate, start_up};
use crate::common::setup::proxy;
use crate::common::{Cluster, eventually};

/// A client that has said goodbye drops its slot next, on another connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_goodbye_frees_the_slot_of_a_stream_at_once() {
    let mut cluster = Cluster::start().await;
    cluster.restart_with(&[("wal_level", "logical")]).await;
    let proxy = proxy(&cluster, "").await;
    let admin = cluster.superuser().await;
    let role = admin
        .value("select rolname from pg_roles where rolname like 'r________'")
        .await;
    let grant = format!(
        "alter role \"{role}\" replication; create table t (text text); \
         create publication p for table t"
    );
    admin.batch_execute(&grant).await.expect("granted");
    let mut fastest = Duration::MAX;
    for n in 0..3 {
        let mut raw = Raw::open(&proxy).await;
        let who = [
            ("user", "anyone"),
            ("database", "app"),
            ("replication", "database"),
        ];
        raw.send(&start_up(0x0003_0000, &who)).await;
        raw.until(b'Z').await;
        let create = format!("CREATE_REPLICATION_SLOT s{n} LOGICAL pgoutput");
        let created = raw.ask(&query(&create)).await;
        assert_eq!(sqlstate(&created), None);
        let start = format!(
            "START_REPLICATION SLOT s{n} LOGICAL 0/0 (proto_version '1', publication_names 'p')"
        );
        raw.send(&query(&start)).await;
        raw.until(b'W').await;
        // More than the buffers on the way take: the server is in the middle of it.
        let much = "insert into t select repeat('x', 1000) from generate_series(1, 100000)";
        admin.batch_execute(much).await.expect("inserted");
        while raw.one().await.1.first() != Some(&b'w') {}
        let active = format!("select active from pg_replication_slots where slot_name = 's{n}'");
        assert_eq!(admin.value(&active).await, "t");
        let left = Instant::now();
        raw.send(&message(b'X', b"")).await;
        eventually("the slot is free", Duration::from_secs(20), || async {
            let drop = format!("select pg_drop_replication_slot('s{n}')");
            admin.simple_query(&drop).await.ok()
        })
        .await;
        fastest = fastest.min(left.elapsed());
    }
    // On a busy machine one may take long, but not each.
    assert!(fastest < Duration::from_millis(200), "{fastest:?}");
}
