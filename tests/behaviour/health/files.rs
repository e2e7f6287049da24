//! Troubles with certificates and rotations, on a proxy that runs: they begin, are said, and end.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use rcgen::ExtendedKeyUsagePurpose;

use super::{run, wait_over, wait_trouble};
use crate::common::pki::Pki;
use crate::common::{Cluster, Proxy, eventually, new_password};

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

/// What a reload names has to be there, or the next start would fail: nothing of that reload is
/// put into force.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_to_files_that_cannot_be_used_is_refused() {
    let (pki, cluster) = (Pki::new(), Cluster::start().await);
    let password = new_password();
    cluster.create_role("app", &password).await;
    let at = tempfile::tempdir().expect("a directory");
    put_certificate(&pki, at.path(), HOUR * 40);
    let files = at.path().display().to_string();
    let listen = format!("certificate = \"{files}/tls.crt\"\nkey = \"{files}/tls.key\"");
    let proxy = Proxy::with_one_database(&cluster.secret("app", &password), "")
        .listen(&listen)
        .start()
        .await;
    let good = fs::read_to_string(proxy.config()).expect("read");
    fs::write(at.path().join("empty.crt"), "").expect("written");
    let ca = format!("{listen}\nclient_ca = \"{files}/no-ca.pem\"");
    for (what, wrong) in [
        ("no.crt", good.replace("/tls.crt", "/no.crt")),
        ("empty.crt", good.replace("/tls.crt", "/empty.crt")),
        ("no.key", good.replace("/tls.key", "/no.key")),
        ("no-ca.pem", good.replace(&listen, &ca)),
        (
            "no.token",
            good.replace(
                "[admin]",
                &format!("[admin]\ntoken_file = \"{files}/no.token\""),
            ),
        ),
    ] {
        // Something else of the same file, which would be in force at once.
        let wrong = format!("{wrong}\n[database.more]\nsecret = \"app\"\n");
        fs::write(proxy.config(), wrong).expect("written");
        proxy.signal(Signal::SIGHUP);
        let sentence = eventually("the reload is refused", Duration::from_secs(10), || async {
            let trouble = wait_trouble(&proxy, "reload_failed").await;
            let sentence = trouble["sentence"].as_str()?.to_owned();
            sentence.contains(what).then_some(sentence)
        })
        .await;
        assert!(
            sentence.contains("the configuration before it stays in force"),
            "{sentence}"
        );
        let databases = proxy.status().await["databases"].clone();
        assert_eq!(databases.as_array().map(Vec::len), Some(1), "{what}");
        proxy.connect("app").await.value("SELECT 1").await;
    }
    fs::write(proxy.config(), good).expect("written");
    proxy.signal(Signal::SIGHUP);
    wait_over(&proxy, "reload_failed").await;
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
