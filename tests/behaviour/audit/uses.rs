//! Whoever got an answer stands in the log, whatever becomes of the process.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::cli::pgvalet_ok;
use crate::common::{Cluster, Proxy, new_password};

async fn served(cluster: &Cluster, role: &str, more: &str) -> Proxy {
    let password = new_password();
    cluster.create_role(role, &password).await;
    Proxy::with_one_database(&cluster.secret(role, &password), more)
        .start()
        .await
}

/// In either mode, the use of a version is in the log before the first answer is read.
#[tokio::test(flavor = "multi_thread")]
async fn a_use_is_recorded_before_it_is_answered() {
    let cluster = Cluster::start().await;
    for mode in ["transaction", "session"] {
        let proxy = served(&cluster, mode, &format!("pool_mode = \"{mode}\"")).await;
        for n in 1..=5 {
            let session = proxy.connect("app").await;
            let pid = session.value("select pg_backend_pid()").await;
            let uses = proxy.audit_of("credential.use");
            assert_eq!(uses.len(), n, "{mode}: one for each session");
            assert_eq!(uses[n - 1]["server"]["pid"].to_string(), pid, "{mode}");
            session.value("select 1").await;
            assert_eq!(
                proxy.audit_of("credential.use").len(),
                n,
                "{mode}: and no more"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_every_use_is_there_and_the_log_is_whole() {
    let cluster = Cluster::start().await;
    let mut proxy = served(&cluster, "app_user", "pool_size = 5").await;
    let verify = |proxy: &Proxy| pgvalet_ok(&proxy.config(), &["audit", "verify"], "");
    let mut answered = 0;
    for _ in 0..2 {
        let mut sessions = Vec::new();
        for _ in 0..20 {
            let session = proxy.connect("app").await;
            session.value("select 1").await;
            sessions.push(session);
            answered += 1;
        }
        proxy.signal(Signal::SIGKILL);
        proxy.wait_exit(Duration::from_secs(10)).await;
        let uses = proxy.audit_of("credential.use");
        assert_eq!(uses.len(), answered);
        verify(&proxy);
        proxy.run();
        proxy.wait_ready().await;
    }
    let said = verify(&proxy);
    assert!(said.contains("the log was not closed"), "{said}");
    let gaps = proxy.audit_of("gap");
    assert_eq!(gaps.len(), 2);
    proxy.signal(Signal::SIGTERM);
    proxy.wait_exit(Duration::from_secs(20)).await;
    let said = verify(&proxy);
    assert!(said.contains("all of them are signed"), "{said}");
}
