//! A primary that is lost, and its standby that takes over: with synchronous replication no
//! line is lost of which a client was told that it is there.

use super::book::{self, Book};
use crate::common::{Cluster, Proxy, eventually, new_password};

use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_was_told_is_so_after_a_failover() {
    let mut primary = Cluster::start().await;
    let password = new_password();
    primary.create_role("app_user", &password).await;
    book::create(&primary).await;
    let standby = primary.standby().await;
    let hosts = format!(
        "host = [\"127.0.0.1:{}\", \"127.0.0.1:{}\"]\ntarget_session_attrs = \"read-write\"",
        primary.port, standby.port
    );
    let secret = primary.secret("app_user", &password);
    let proxy = Proxy::with_one_database(&secret, &format!("pool_size = 4\n{hosts}"))
        .start()
        .await;
    for sql in [
        "alter system set synchronous_standby_names = '*'",
        "select pg_reload_conf()",
    ] {
        primary.execute(sql).await;
    }
    let admin = primary.superuser().await;
    eventually(
        "commits wait for the standby",
        Duration::from_secs(20),
        || async {
            let state = admin
                .value("select sync_state from pg_stat_replication")
                .await;
            (state == "sync").then_some(())
        },
    )
    .await;
    drop(admin);
    let book = Book::open(proxy.dsn("app"), 8, true);
    book.progress(200).await;
    primary.stop();
    standby.superuser().await.value("select pg_promote()").await;
    book.progress(200).await;
    let totals = book.close(&standby).await;
    assert!(totals.done >= 400, "{totals:?}");
}
