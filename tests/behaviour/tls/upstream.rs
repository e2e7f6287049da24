//! TLS to Postgres: verified or not used at all.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::common::client::told;
use crate::common::{Cluster, Proxy, ProxyBuilder, cli, connect, eventually, new_password};

async fn to(cluster: &Cluster, more: &str) -> ProxyBuilder {
    let password = new_password();
    let role = format!("r{}", &password[3..11]);
    cluster.create_role(&role, &password).await;
    Proxy::with_one_database(&cluster.secret(&role, &password), more)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verified_server_is_used_over_tls() {
    let cluster = Cluster::start().await;
    let ca = cluster.ca();
    let ca = ca.display();
    for (more, encrypted) in [
        (
            format!("host = \"localhost\"\ntls = \"verify-full\"\ntls_ca = \"{ca}\""),
            "t",
        ),
        (format!("tls = \"verify-full\"\ntls_ca = \"{ca}\""), "t"),
        (format!("tls = \"verify-ca\"\ntls_ca = \"{ca}\""), "t"),
        ("tls = \"require\"".to_owned(), "t"),
        ("tls = \"disable\"".to_owned(), "f"),
        (String::new(), "f"),
    ] {
        let proxy = to(&cluster, &more).await.start().await;
        let session = proxy.connect("app").await;
        let ssl = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
        assert_eq!(session.value(ssl).await, encrypted, "{more}");
        let mechanism = match encrypted {
            "t" => "scram-sha-256-plus",
            _ => "scram-sha-256",
        };
        assert_eq!(
            proxy.audit_seen("server.open").await[0]["reason"],
            mechanism,
            "{more}"
        );
    }
}

/// What was read before stays in force, and a restart would not find it.
#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_becomes_junk_is_told_before_a_restart() {
    let cluster = Cluster::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let ca = directory.path().join("ca.pem");
    std::fs::copy(cluster.ca(), &ca).expect("copied");
    let more = format!("tls = \"verify-full\"\ntls_ca = \"{}\"", ca.display());
    let proxy = to(&cluster, &more).await.start().await;
    proxy.connect("app").await;
    std::fs::write(&ca, "junk").expect("written");
    eventually("it is said", Duration::from_secs(20), || async {
        let health = cli::pgvalet(&proxy.config(), &["health"], "");
        let said = String::from_utf8_lossy(&health.stdout).into_owned()
            + &String::from_utf8_lossy(&health.stderr);
        said.contains("files of TLS").then_some(())
    })
    .await;
    proxy.signal(Signal::SIGHUP);
    eventually("the reload is refused", Duration::from_secs(20), || async {
        let refused = "the configuration was not reloaded";
        proxy.log().contains(refused).then_some(())
    })
    .await;
    proxy.connect("app").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unverified_server_gets_no_credential() {
    let cluster = Cluster::start().await;
    let other = Cluster::start().await;
    for more in [
        format!(
            "tls = \"verify-full\"\ntls_ca = \"{}\"",
            other.ca().display()
        ),
        "tls = \"verify-full\"".to_owned(),
    ] {
        let proxy = to(
            &cluster,
            &format!("{more}\npool_wait_timeout = \"3s\"\nrotation_grace = \"3s\""),
        )
        .await
        .start_unready()
        .await;
        let error = match connect(&proxy.dsn("app")).await {
            Ok(session) => session
                .simple_query("select 1")
                .await
                .expect_err("no server"),
            Err(error) => error,
        };
        assert!(
            !told(&error).0.starts_with("28"),
            "{error:?}: the client did nothing wrong"
        );
        eventually("the log says why", Duration::from_secs(20), || async {
            let log = proxy.log().to_lowercase();
            log.contains("certificate").then_some(())
        })
        .await;
        let authenticated = cluster
            .log()
            .matches("connection authenticated: identity=\"r")
            .count();
        assert_eq!(authenticated, 0, "{more}");
    }
}

/// Stands between proxy and Postgres, and puts `stuffed` behind the server's
/// consent to TLS (CVE-2021-23222); its port.
async fn in_the_middle(cluster: &Cluster, stuffed: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let server = ("127.0.0.1", cluster.port);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await.expect("a server");
                let mut request = [0; 8];
                client.read_exact(&mut request).await.expect("SSLRequest");
                server.write_all(&request).await.expect("asked");
                assert_eq!(server.read_u8().await.expect("an answer"), b'S');
                let consent = [b"S", stuffed].concat();
                client.write_all(&consent).await.expect("answered");
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stuffed_before_the_handshake_is_not_believed() {
    let cluster = Cluster::start().await;
    let ca = cluster.ca().display().to_string();
    // AuthenticationOk, a parameter, ReadyForQuery: a login, if it were read as one.
    let stuffed = b"R\0\0\0\x08\0\0\0\0S\0\0\0\x08a\0b\0Z\0\0\0\x05I";
    for (stuffed, trusted) in [(&b""[..], true), (stuffed, false)] {
        let port = in_the_middle(&cluster, stuffed).await;
        let more = format!(
            "host = \"127.0.0.1:{port}\"\ntls = \"verify-full\"\ntls_ca = \"{ca}\"\n\
             pool_wait_timeout = \"3s\""
        );
        let proxy = to(&cluster, &more).await.start_unready().await;
        if trusted {
            assert_eq!(proxy.connect("app").await.value("select 1").await, "1");
            continue;
        }
        let error = connect(&proxy.dsn("app")).await.map(|_| ());
        let (sqlstate, ..) = told(&error.expect_err("no server"));
        assert!(["08006", "57P03"].contains(&&*sqlstate), "{sqlstate}");
        eventually("the log says why", Duration::from_secs(20), || async {
            proxy.log().contains("TLS with 127.0.0.1").then_some(())
        })
        .await;
        let failed = proxy.audit_seen("server.fail").await;
        assert_eq!(failed[0]["database"], "app", "{failed:?}");
    }
}

/// A host that is the directory of a unix socket.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_by_its_unix_socket() {
    let cluster = Cluster::start().await;
    let more = format!("host = \"{}\"", cluster.socket_directory().display());
    let proxy = to(&cluster, &more).await.start().await;
    let session = proxy.connect("app").await;
    assert_eq!(
        session.value("select inet_server_addr() is null").await,
        "t"
    );
}

/// A role that logs in by certificate (`cert` in pg_hba.conf): nothing of the
/// secret but its user name is needed.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_instead_of_a_password() {
    let cluster = Cluster::start().await;
    cluster.create_role("by_cert", &new_password()).await;
    cluster.permit_certificate("by_cert").await;
    let (ca, (certificate, key)) = (cluster.ca(), cluster.client_certificate());
    let more = format!(
        "host = \"localhost\"\ntls = \"verify-full\"\ntls_ca = \"{}\"\n\
         tls_certificate = \"{}\"\ntls_key = \"{}\"",
        ca.display(),
        certificate.display(),
        key.display()
    );
    let secret = cluster.secret("by_cert", &new_password());
    let proxy = Proxy::with_one_database(&secret, &more).start().await;
    let session = proxy.connect("app").await;
    assert_eq!(session.value("select current_user").await, "by_cert");
    assert!(cluster.log().contains("method=cert"), "{}", cluster.log());
    assert_eq!(
        proxy.audit_seen("server.open").await[0]["reason"],
        "certificate"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn channel_binding_can_be_demanded() {
    let cluster = Cluster::start().await;
    let ca = cluster.ca();
    let more = format!(
        "channel_binding = \"require\"\ntls = \"verify-full\"\ntls_ca = \"{}\"",
        ca.display()
    );
    let proxy = to(&cluster, &more).await.start().await;
    assert_eq!(proxy.connect("app").await.value("select 1").await, "1");
    // Without TLS there is nothing to bind to.
    let more = "channel_binding = \"require\"\nrotation_grace = \"1s\"\npool_wait_timeout = \"2s\"";
    let proxy = to(&cluster, more).await.start_unready().await;
    let refused = async || {
        proxy
            .log()
            .contains("SCRAM without channel binding")
            .then_some(())
    };
    eventually("the refusal", Duration::from_secs(20), refused).await;
}
