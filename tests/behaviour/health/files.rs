//! Troubles with certificates and rotations, on a proxy that runs: they begin, are said, and end.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::ExtendedKeyUsagePurpose;

use super::{run, wait_over, wait_trouble};
use crate::common::pki::Pki;
use crate::common::{Cluster, Proxy, new_password};

const HOUR: Duration = Duration::from_secs(3600);

/// Puts a certificate of the listener in place that ends in this time; its whole life is two days.
fn put_certificate(pki: &Pki, at: &Path, left: Duration) {
    let made = pki.certificate("dns:localhost", SystemTime::now() + left, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    fs::copy(&made.certificate, at.join("tls.crt")).expect("copied");
    fs::copy(&made.key, at.join("tls.key")).expect("copied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_expires_or_cannot_be_read_is_named_until_it_is_mended() {
    let (pki, cluster) = (Pki::new(), Cluster::start().await);
    let password = new_password();
    cluster.create_role("app", &password).await;
    let at = tempfile::tempdir().expect("a directory");
    put_certificate(&pki, at.path(), HOUR);
    let files = at.path().display();
    let listen = format!("certificate = \"{files}/tls.crt\"\nkey = \"{files}/tls.key\"");
    let proxy = Proxy::with_one_database(&cluster.secret("app", &password), "")
        .listen(&listen)
        .start()
        .await;
    let trouble = wait_trouble(&proxy, "certificate_expires").await;
    let sentence = trouble["sentence"].as_str().expect("a sentence");
    let begin = format!("the certificate {files}/tls.crt expires in ");
    assert!(sentence.starts_with(&begin), "{sentence}");
    let (code, said) = run(&proxy, &["health"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("put a new certificate and its key in place"),
        "{said}"
    );

    put_certificate(&pki, at.path(), HOUR * 40);
    wait_over(&proxy, "certificate_expires").await;
    fs::write(at.path().join("tls.crt"), "no certificate").expect("written");
    let trouble = wait_trouble(&proxy, "certificate_unread").await;
    let sentence = trouble["sentence"].as_str().expect("a sentence");
    assert!(
        sentence.contains("the one before stays in force"),
        "{sentence}"
    );
    assert_eq!(trouble["file"], format!("{files}/tls.crt"));
    put_certificate(&pki, at.path(), HOUR * 40);
    wait_over(&proxy, "certificate_unread").await;
    assert_eq!(run(&proxy, &["health"]).await.0, Some(0));
}

/// Alternating between two users needs an administrator, who is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_fails_is_named_until_one_succeeds() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app", &password).await;
    let more = "rotation = { every = \"1s\", strategy = \"alternating\" }";
    let proxy = Proxy::with_one_database(&cluster.secret("app", &password), more)
        .start()
        .await;
    let trouble = wait_trouble(&proxy, "rotation_fails").await;
    assert_eq!(trouble["secret"], "app");
    let sentence = trouble["sentence"].as_str().expect("a sentence");
    assert!(
        sentence.starts_with("the rotation of secret app fails: "),
        "{sentence}"
    );
    let remedy = trouble["remedy"].as_str().expect("a remedy");
    assert!(remedy.contains("pgvalet rotate app"), "{remedy}");
    let labels = ["kind=\"rotation_fails\"", "secret=\"app\""];
    assert_eq!(proxy.metric("pgvalet_trouble", &labels).await, Some(1.0));
    proxy
        .reload(|text| text.replace(", strategy = \"alternating\"", ""))
        .await;
    wait_over(&proxy, "rotation_fails").await;
    assert_eq!(proxy.metric("pgvalet_trouble", &labels).await, None);
}
