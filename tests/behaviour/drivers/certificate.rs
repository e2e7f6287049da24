//! Drivers as they are installed, with a certificate of their own, and that of
//! the proxy verified.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;

use super::{JDBC, installed};
use crate::common::pki::DAY;
use crate::common::pki::{ClientCertificate, Pki};
use crate::common::setup::proxy_by_certificate;
use crate::common::{Cluster, Proxy, repository, venv};

const ORDERS: &str = "spiffe://example.org/orders";

/// A certificate that the rule for the database `spiffe` asks for, one of
/// another name, one of that name by a CA that is none of ours.
struct Certificates {
    orders: ClientCertificate,
    other: ClientCertificate,
    forged: ClientCertificate,
}

impl Certificates {
    fn new(pki: &Pki, elsewhere: &Pki) -> Self {
        Self {
            orders: pki.client(ORDERS, DAY),
            other: pki.client("spiffe://example.org/orders2", DAY),
            forged: elsewhere.client(ORDERS, DAY),
        }
    }
}

/// The output of a program, which has a line for each connection.
async fn lines(mut command: Command) -> Vec<String> {
    let output = tokio::task::spawn_blocking(move || {
        let output = command.stdin(Stdio::null()).output();
        output.unwrap_or_else(|e| panic!("{command:?}: {e}"))
    })
    .await
    .expect("no panic");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let said = String::from_utf8(output.stdout).expect("text");
    said.lines().map(str::to_owned).collect()
}

/// The one that was let in, and the reasons why others were not.
async fn recorded(proxy: &Proxy, reasons: &[&str]) {
    proxy.wait_denied(reasons).await;
    for record in proxy.audit_seen("session.start").await {
        let identity: &Value = &record["identity"];
        assert_eq!(record["client"], "by-spiffe");
        assert_eq!(record["database"], "spiffe");
        assert_eq!(identity["method"], "certificate");
        assert_eq!(identity["subject"], ORDERS);
        assert_eq!(identity["cert_sha256"].as_str().map(str::len), Some(64));
        assert!(record["tls"].is_string(), "{record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn psycopg_with_a_certificate() {
    let cluster = Cluster::start().await;
    let (pki, elsewhere) = (Pki::new(), Pki::new());
    let certificates = Certificates::new(&pki, &elsewhere);
    let proxy = proxy_by_certificate(&cluster, &pki).await;
    let dsn = |ca: &Path, shown: Option<&ClientCertificate>| {
        let shown = shown.map_or("sslcert=/nowhere sslkey=/nowhere".to_owned(), |c| {
            let (certificate, key) = (c.certificate.display(), c.key.display());
            // Otherwise libpq goes on without one where it cannot be used.
            format!("sslcert={certificate} sslkey={key} sslcertmode=require")
        });
        let verified = format!("sslmode=verify-full sslrootcert={}", ca.display());
        let host = "host=localhost hostaddr=127.0.0.1";
        format!("{} {host} {verified} {shown}", proxy.dsn("spiffe"))
    };
    let mut program = Command::new(venv("python"));
    program
        .arg(repository().join("tests/python/connect.py"))
        .arg(dsn(&cluster.ca(), Some(&certificates.orders)))
        .arg(dsn(&cluster.ca(), Some(&certificates.other)))
        .arg(dsn(&cluster.ca(), Some(&certificates.forged)))
        .arg(dsn(&cluster.ca(), None))
        .arg(dsn(&elsewhere.ca(), Some(&certificates.orders)));
    let said = lines(program).await;
    let [orders, other, forged, none, unverified] = &said[..] else {
        panic!("{said:?}");
    };
    assert_eq!(orders, "app_user");
    assert!(other.contains("access denied"), "{other}");
    assert!(
        forged.starts_with("refused: ") && !forged.contains("access denied"),
        "{forged}"
    );
    assert!(none.contains("access denied"), "{none}");
    assert!(
        unverified.contains("certificate verify failed"),
        "{unverified}"
    );
    recorded(
        &proxy,
        &["no_rule", "certificate_unknown_issuer", "no_rule", "tls"],
    )
    .await;
}

/// pgjdbc reads keys as PKCS#8 in DER, or with their certificate as PKCS#12.
#[tokio::test(flavor = "multi_thread")]
async fn jdbc_with_a_certificate() {
    let Some(jar) = installed("the JDBC driver", &[PathBuf::from(JDBC)]) else {
        return;
    };
    let cluster = Cluster::start().await;
    let (pki, elsewhere) = (Pki::new(), Pki::new());
    let certificates = Certificates::new(&pki, &elsewhere);
    let proxy = proxy_by_certificate(&cluster, &pki).await;
    let (ca, port) = (cluster.ca(), proxy.port);
    let url = |shown: &str| {
        format!(
            "jdbc:postgresql://localhost:{port}/spiffe?sslmode=verify-full&sslrootcert={}{shown}",
            ca.display()
        )
    };
    let by_der = |c: &ClientCertificate| {
        let (certificate, key) = (c.certificate.display(), der(c));
        url(&format!("&sslcert={certificate}&sslkey={}", key.display()))
    };
    let by_p12 = |c: &ClientCertificate| {
        let file = p12(c);
        url(&format!("&sslkey={}&sslpassword=changeit", file.display()))
    };
    let mut program = Command::new("java");
    program
        .arg("-XX:TieredStopAtLevel=1")
        // Where the driver looks for a certificate that nobody names.
        .arg(format!("-Duser.home={}", proxy.directory().display()))
        .arg("-cp")
        .arg(jar)
        .arg(repository().join("tests/drivers/java/Connect.java"))
        .arg(by_der(&certificates.orders))
        .arg(by_p12(&certificates.orders))
        .arg(by_der(&certificates.other))
        .arg(by_p12(&certificates.other))
        .arg(url(""));
    let said = lines(program).await;
    assert_eq!(said[..2], ["app_user", "app_user"], "{said:?}");
    assert_eq!(said.len(), 5, "{said:?}");
    for denied in &said[2..] {
        assert!(
            denied.contains("28000") && denied.contains("access denied"),
            "{denied}"
        );
    }
    recorded(&proxy, &["no_rule"; 3]).await;
    assert_eq!(proxy.audit_of("session.start").len(), 2);
    // Java's goodbye in TLS is no reason to warn.
    assert!(!proxy.log().contains("rustls"), "{}", proxy.log());
}

fn der(certificate: &ClientCertificate) -> PathBuf {
    let PrivateKeyDer::Pkcs8(key) = certificate.key() else {
        panic!("not PKCS#8");
    };
    let path = certificate.key.with_extension("pk8");
    std::fs::write(&path, key.secret_pkcs8_der()).expect("written");
    path
}

fn p12(certificate: &ClientCertificate) -> PathBuf {
    let path = certificate.key.with_extension("p12");
    let made = Command::new("openssl")
        .args([
            "pkcs12",
            "-export",
            "-name",
            "user",
            "-passout",
            "pass:changeit",
        ])
        .arg("-in")
        .arg(&certificate.certificate)
        .arg("-inkey")
        .arg(&certificate.key)
        .arg("-out")
        .arg(&path)
        .status();
    assert!(made.expect("openssl runs").success());
    path
}
