//! TLS to clients: certificates that are replaced, and TLS without a request.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::common::{Cluster, Proxy, eventually, new_password};

const REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
const STARTUP: &[u8] = b"\0\0\0\x1d\0\x03\0\0user\0a\0database\0app\0\0";

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

pub async fn handshake(
    proxy: &Proxy,
    ca: &Path,
    alpn: &[&[u8]],
    direct: bool,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(ca).expect("a CA"))
        .expect("usable");
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let mut config = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    let mut socket = TcpStream::connect(("127.0.0.1", proxy.port)).await?;
    if !direct {
        socket.write_all(REQUEST).await?;
        assert_eq!(socket.read_u8().await?, b'S');
    }
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
}

/// Logs in, and asks something.
pub async fn works(stream: &mut TlsStream<TcpStream>, log_in: bool) -> bool {
    let mut said = Vec::new();
    if log_in && stream.write_all(STARTUP).await.is_err() {
        return false;
    }
    if !log_in {
        let query = b"Q\0\0\0\x0dselect 1\0";
        stream.write_all(query).await.expect("sent");
    }
    while !said.ends_with(b"Z\0\0\0\x05I") {
        match stream.read_buf(&mut said).await {
            Ok(0) | Err(_) => return false,
            Ok(_) => {}
        }
    }
    true
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
        proxy.log().contains("is shown on").then_some(())
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
        proxy
            .log()
            .contains("holds no PEM certificate")
            .then_some(())
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
