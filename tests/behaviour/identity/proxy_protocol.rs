//! The PROXY protocol: through a real HAProxy, and from those who are none.
//!
//! Loopback has many addresses: HAProxy is 127.0.0.9 here, and is believed;
//! everybody else is not.
#![cfg(target_os = "linux")]

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpSocket;
use tokio::time::timeout;

use crate::common::haproxy::HaProxy;
use crate::common::raw::{Raw, sqlstate, tags};
use crate::common::{Cluster, Proxy, eventually, free_port, new_password};

const BALANCER: &str = "127.0.0.9";

/// HAProxy, and the ports where it speaks version 1 and 2 towards pgvalet.
async fn haproxy(target: u16) -> (HaProxy, [u16; 2]) {
    let ports = [free_port(), free_port()];
    let [v1, v2] = ports;
    let sections = format!(
        "listen v1\n bind 127.0.0.1:{v1}\n server p 127.0.0.1:{target} send-proxy source {BALANCER}\n\
         listen v2\n bind 127.0.0.1:{v2}\n server p 127.0.0.1:{target} send-proxy-v2 source {BALANCER} \
         check inter 100ms\n"
    );
    (HaProxy::start(&sections, &ports).await, ports)
}

async fn proxy(cluster: &Cluster) -> Proxy {
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let rule = |name: &str, condition: &str| {
        format!("name = \"{name}\"\n{condition}\ndatabases = \"app\"")
    };
    Proxy::with_one_database(&cluster.secret("app_user", &password), "")
        .listen(&format!("proxy_protocol = \"{BALANCER}\""))
        .client(&rule("behind", "network = \"127.0.0.5\""))
        .client(&rule("plain", "network = \"127.0.0.1\""))
        // HAProxy's own socket must not stand for whoever is behind it.
        .client(&rule(
            "somebody",
            &format!("loopback_user = {}", nix::unistd::geteuid()),
        ))
        .start()
        .await
}

async fn from(address: &str, port: u16) -> Raw {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind(format!("{address}:0").parse().expect("an address"))
        .expect("bound");
    let to = ([127, 0, 0, 1], port).into();
    Raw {
        stream: socket.connect(to).await.expect("connected"),
    }
}

/// The answer to a client that sends this in front of its start-up packet.
async fn answered(address: &str, port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut raw = from(address, port).await;
    raw.send(bytes).await;
    let mut all = Vec::new();
    let read = raw.stream.read_to_end(&mut all);
    let _ = timeout(Duration::from_secs(10), read)
        .await
        .unwrap_or_else(|_| panic!("no end, only {all:?}, after {}", bytes.escape_ascii()));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_behind_haproxy_is_the_client() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster).await;
    let (_haproxy, ports) = haproxy(proxy.port).await;
    for port in ports {
        for (address, name) in [("127.0.0.5", "behind"), ("127.0.0.1", "plain")] {
            let mut raw = from(address, port).await;
            raw.start_up().await;
            let greeting = raw.until(b'Z').await;
            assert!(tags(&greeting).ends_with('Z'));
            let local = raw.stream.local_addr().expect("bound").to_string();
            let record = eventually("a record", Duration::from_secs(5), || async {
                let mut started = proxy.audit_of("session.start");
                started.retain(|r| r["source"] == local.as_str());
                started.pop()
            })
            .await;
            assert_eq!(record["client"], name, "{record}");
            let via = record["via"].as_str().unwrap_or_default();
            assert!(via.starts_with(BALANCER), "{record}");
        }
        // Neither HAProxy's address nor its user is that of a stranger behind it.
        let mut stranger = from("127.0.0.6", port).await;
        stranger.start_up().await;
        let denied = stranger.until(b'E').await;
        assert_eq!(sqlstate(&denied).as_deref(), Some("28000"));
    }
    let denied = proxy.audit_seen("session.deny").await;
    let source = denied[0]["source"].as_str().unwrap_or_default();
    assert!(source.starts_with("127.0.0.6:"), "{denied:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_is_believed() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster).await;
    let v1 = b"PROXY TCP4 127.0.0.5 127.0.0.1 1000 6432\r\n".to_vec();
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x05\x7f\0\0\x01".to_vec();
    v2.extend(b"\x03\xe8\x19\x20");
    let startup = b"\0\0\0\x22\0\x03\0\0user\0anyone\0database\0app\0\0".to_vec();
    for header in [&v1, &v2] {
        let forged = [header.as_slice(), &startup].concat();
        let said = answered("127.0.0.2", proxy.port, &forged).await;
        assert!(said.starts_with(b"E"), "{said:?}");
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.contains("invalid length of startup packet"), "{said}");
        // The same from the balancer is an introduction.
        let mut raw = from(BALANCER, proxy.port).await;
        raw.send(&forged).await;
        assert!(tags(&raw.until(b'Z').await).ends_with('Z'));
    }
    // From there a header is owed, one only, and a right one.
    for wrong in [
        startup.clone(),
        b"PROXY TCP4 127.0.0.5 127.0.0.1 1000\r\n".to_vec(),
        [v1.as_slice(), &v1, &startup].concat(),
        [v1.as_slice(), &v2, &startup].concat(),
        vec![b'P'; 200],
    ] {
        let said = answered(BALANCER, proxy.port, &wrong).await;
        assert!(!said.contains(&b'Z') && !said.contains(&b'R'), "{said:?}");
    }
    // A balancer that speaks for itself is whoever it is: a process of ours here.
    let own = [b"PROXY UNKNOWN\r\n".as_slice(), &startup].concat();
    let mut raw = from(BALANCER, proxy.port).await;
    raw.send(&own).await;
    raw.until(b'Z').await;
    let started = proxy.audit_of("session.start");
    assert!(
        started.iter().any(|r| r["client"] == "somebody"),
        "{started:?}"
    );

    let denied = eventually("records", Duration::from_secs(5), || async {
        let denied = proxy.audit_of("session.deny");
        (denied.len() == 7).then_some(denied)
    })
    .await;
    let count = |reason: &str| denied.iter().filter(|r| r["reason"] == reason).count();
    assert_eq!(count("proxy_header"), 7, "{denied:?}");
}
