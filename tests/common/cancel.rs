//! A query that only a cancel request ends, and the request.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Cluster, Proxy, eventually};

pub const SLEEP: &str = "select pg_sleep(60)";

/// Waits until so many of them run: a cancel that comes earlier hits nothing.
pub async fn sleeping(cluster: &Cluster, count: usize) {
    let admin = cluster.superuser().await;
    let busy = format!(
        "select count(*) from pg_stat_activity where query = '{SLEEP}' and state = 'active'"
    );
    eventually("the query runs", Duration::from_secs(10), || async {
        (admin.value(&busy).await == count.to_string()).then_some(())
    })
    .await;
}

pub async fn send_cancel(proxy: &Proxy, pid: i32, key: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port))
        .await
        .expect("connected");
    let length = i32::try_from(12 + key.len()).expect("short");
    let mut packet = Vec::new();
    for number in [length, 80_877_102, pid] {
        packet.extend_from_slice(&number.to_be_bytes());
    }
    packet.extend_from_slice(key);
    stream.write_all(&packet).await.expect("sent");
    // The peer closes when it is done with the request, whatever came of it.
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "a cancel request is never answered");
}
