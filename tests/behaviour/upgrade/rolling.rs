//! Two proxies behind a load balancer are restarted, one after the other.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::haproxy::HaProxy;
use crate::common::ledger::{self, Habit, Ledger};
use crate::common::{Cluster, Proxy, connect, eventually, free_port, new_password};

/// HAProxy asks `/readyz`. An answer that a busy machine delays is waited for: only a proxy that
/// says so, or that is not there, gets no clients. It tries nothing twice: a client that is refused is refused.
async fn balancer(proxies: &[Proxy]) -> (HaProxy, u16) {
    let port = free_port();
    let servers = proxies.iter().enumerate().map(|(n, proxy)| {
        let (port, admin) = (proxy.port, proxy.admin_port);
        format!(" server p{n} 127.0.0.1:{port} check port {admin} inter 100ms fall 1 rise 1\n")
    });
    let sections = format!(
        "listen app\n bind 127.0.0.1:{port}\n balance roundrobin\n retries 0\n \
         option httpchk GET /readyz\n http-check expect status 200\n timeout check 5s\n{}",
        servers.collect::<String>()
    );
    (HaProxy::start(&sections, &[port]).await, port)
}

/// Waits until a client of the balancer got to this process.
async fn is_used(proxy: &Proxy) {
    let own = format!(":{}", proxy.pid());
    eventually("it gets clients", Duration::from_secs(20), || async {
        let started = proxy.audit_of("session.start");
        let here = |p: &str| p.ends_with(&own);
        let by = started.iter().filter_map(|r| r["proxy"].as_str());
        by.into_iter().any(here).then_some(())
    })
    .await;
}

async fn restarts(rounds: usize) {
    let cluster = Cluster::start().await;
    ledger::create(&cluster).await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let mut proxies = Vec::new();
    for _ in 0..2 {
        let secret = cluster.secret("app_user", &password);
        let proxy = Proxy::with_one_database(&secret, "pool_size = 8")
            .listen("drain_delay = \"3s\"")
            .prepare();
        let text = fs::read_to_string(proxy.config()).expect("the configuration");
        let patient = text.replace("shutdown_timeout = \"1s\"", "shutdown_timeout = \"20s\"");
        fs::write(proxy.config(), patient).expect("written");
        proxies.push(proxy);
    }
    for proxy in &mut proxies {
        proxy.run();
        proxy.wait_ready().await;
    }
    let (_haproxy, port) = balancer(&proxies).await;
    let dsn = format!("host=127.0.0.1 port={port} user=anyone dbname=app");
    let load = Ledger::start(&dsn, "app", 0, &[Habit::ComesAndGoes; 8]);
    let stop = Arc::new(AtomicBool::new(false));
    let (visits, visitor) = (Arc::new(AtomicUsize::new(0)), stop.clone());
    let counts = visits.clone();
    // A connection for each query, as a script has it.
    let comes = tokio::spawn(async move {
        while !visitor.load(Relaxed) {
            let session = connect(&dsn).await.expect("nobody is refused");
            assert_eq!(session.value("select 1").await, "1");
            session.close().await;
            counts.fetch_add(1, Relaxed);
        }
    });
    for round in 0..rounds {
        for proxy in &mut proxies {
            is_used(proxy).await;
            proxy.signal(Signal::SIGTERM);
            let status = proxy.wait_exit(Duration::from_secs(40)).await;
            assert!(status.success(), "round {round}: {status}\n{}", proxy.log());
            proxy.run();
            proxy.wait_ready().await;
            is_used(proxy).await;
        }
    }
    stop.store(true, Relaxed);
    comes.await.expect("no client failed");
    let total = load.close(&cluster).await.unwrap_or_else(|e| panic!("{e}"));
    assert!(total > 0 && visits.load(Relaxed) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_refused_while_two_proxies_are_restarted() {
    restarts(1).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn nobody_is_refused_while_two_proxies_are_restarted_at_length() {
    restarts(10).await;
}
