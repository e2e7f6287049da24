//! TLS to clients: certificates that are replaced, and TLS without a request.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::common::tls::{handshake, works};
use crate::common::{Cluster, Proxy, eventually, new_password};
use crate::health::wait_trouble;

fn directory(cluster: &Cluster) -> PathBuf {
    cluster.ca().parent().expect("a directory").to_owned()
}

async fn proxy(cluster: &Cluster, mode: &str) -> Proxy {
    let password = new_password();
    let user = format!("app_{mode}");
    cluster.create_role(&user, &password).await;
    let lines = format!(
        "tls = \"{mode}\"\ncertificate = \"{0}/server.crt\"\nkey = \"{0}/server.key\"",
        directory(cluster).display()
    );
    Proxy::with_one_database(&cluster.secret(&user, &password), "")
        .listen(&lines)
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_and_nobody_is_dropped() {
    let (cluster, other) = tokio::join!(Cluster::start(), Cluster::start());
    let (files, others) = (directory(&cluster), directory(&other));
    let proxy = proxy(&cluster, "require").await;
    let (old_ca, new_ca) = (files.join("ca.crt"), others.join("ca.crt"));
    let mut held = handshake(&proxy, &old_ca, &[], false).await.expect("TLS");
    assert!(works(&mut held, true).await);
    assert!(handshake(&proxy, &new_ca, &[], false).await.is_err());

    // The key comes later: for a while the two do not fit each other.
    fs::copy(others.join("server.crt"), files.join("server.crt")).expect("copied");
    eventually("the pair does not fit", Duration::from_secs(10), || async {
        proxy
            .log()
            .contains("the one before stays in force")
            .then_some(())
    })
    .await;
    let mut meanwhile = handshake(&proxy, &old_ca, &[], false)
        .await
        .expect("the old one");
    assert!(works(&mut meanwhile, true).await);
    fs::copy(others.join("server.key"), files.join("server.key")).expect("copied");
    eventually("the new one is shown", Duration::from_secs(10), || async {
        handshake(&proxy, &new_ca, &[], false).await.ok()
    })
    .await;

    fs::write(files.join("server.crt"), "no certificate").expect("written");
    eventually("that is noticed", Duration::from_secs(10), || async {
        let trouble = wait_trouble(&proxy, "certificate_unread").await;
        let sentence = trouble["sentence"].as_str()?;
        sentence.contains("holds no PEM certificate").then_some(())
    })
    .await;
    handshake(&proxy, &new_ca, &[], false)
        .await
        .expect("the last good one");
    assert!(works(&mut held, false).await, "a session from before");
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_tls() {
    let cluster = Cluster::start().await;
    for mode in ["allow", "require"] {
        let proxy = proxy(&cluster, mode).await;
        let ca = cluster.ca();
        let ours: &[&[u8]] = &[b"h2", b"postgresql"];
        let mut stream = handshake(&proxy, &ca, ours, true).await.expect("TLS");
        assert!(works(&mut stream, true).await);
        assert!(works(&mut stream, false).await);
        // After a request ALPN may be there or not.
        for alpn in [&[][..], ours] {
            let mut stream = handshake(&proxy, &ca, alpn, false).await.expect("TLS");
            assert!(works(&mut stream, true).await);
        }
        // A web client is none of ours; nor is one that does not say what it is.
        for direct in [true, false] {
            let web = handshake(&proxy, &ca, &[b"http/1.1"], direct).await;
            let refused = match web {
                Ok(mut stream) => !works(&mut stream, true).await,
                Err(_) => true,
            };
            assert!(refused, "{mode}");
        }
        let silent = handshake(&proxy, &ca, &[], true).await;
        let refused = match silent {
            Ok(mut stream) => !works(&mut stream, true).await,
            Err(_) => true,
        };
        assert!(refused, "{mode}: direct TLS needs ALPN");
    }
}
