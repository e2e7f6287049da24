//! TLS to Postgres: verified or not used at all.

use std::time::Duration;

use super::common::client::told;
use super::common::{Cluster, Proxy, ProxyBuilder, connect, eventually, new_password};

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
        assert!(
            proxy.log().to_lowercase().contains("certificate"),
            "{}",
            proxy.log()
        );
        let authenticated = cluster
            .log()
            .matches("connection authenticated: identity=\"r")
            .count();
        assert_eq!(authenticated, 0, "{more}");
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
