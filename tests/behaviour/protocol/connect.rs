//! Clients connect without a password: psql and a driver, TCP and unix socket,
//! both pool modes, every version of Postgres at hand.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::binaries::client_program;
use crate::common::{Cluster, Proxy, connect, eventually, new_password};

async fn proxies(cluster: &Cluster, mode: &str) -> Proxy {
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let secret = cluster.secret("app_user", &password);
    Proxy::with_one_database(&secret, &format!("pool_mode = \"{mode}\""))
        .start()
        .await
}

fn psql(dsn: &str, sql: &str) -> Command {
    let mut command = client_program("psql");
    command
        .args([
            "-X",
            "-A",
            "-t",
            "-w",
            "-v",
            "ON_ERROR_STOP=1",
            dsn,
            "-c",
            sql,
        ])
        .env_remove("PGPASSWORD")
        .env("PGPASSFILE", "/dev/null")
        .stdin(Stdio::null());
    command
}

fn psql_says(dsn: &str, sql: &str) -> String {
    let output = psql(dsn, sql).output().expect("psql starts");
    assert!(
        output.status.success(),
        "psql: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

async fn without_a_password(mode: &str) {
    let mut clusters = Cluster::all();
    while let Some(cluster) = clusters.next().await {
        let proxy = proxies(&cluster, mode).await;
        for dsn in [proxy.dsn("app"), proxy.unix_dsn("app")] {
            assert_eq!(psql_says(&dsn, "select current_user"), "app_user");
            let session = connect(&dsn).await.expect("no password needed");
            assert_eq!(session.value("select current_user").await, "app_user");
            let row = session
                .query_one("select session_user::text, $1::int8 + 1", &[&41_i64])
                .await
                .expect("the extended protocol");
            assert_eq!(row.get::<_, &str>(0), "app_user");
            assert_eq!(row.get::<_, i64>(1), 42);
            session.close().await;
        }
        assert_eq!(
            psql_says(&proxy.dsn("app"), "show server_version_num").len(),
            6,
            "version {} answers",
            cluster.binaries.major
        );
        let uses = proxy.audit_seen("credential.use").await;
        let clients: Vec<_> = uses.iter().map(|r| r["client"].as_str()).collect();
        assert!(
            clients.contains(&Some("api")) && clients.contains(&Some("local")),
            "{uses:?}"
        );
        assert!(
            (proxy.audit_of("server.open").iter()).all(|r| r["credential"]["user"] == "app_user"),
            "{uses:?}"
        );
        proxy.assert_no_leak().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_needs_no_password_in_transaction_mode() {
    without_a_password("transaction").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_needs_no_password_in_session_mode() {
    without_a_password("session").await;
}

/// The suite must meet an old and a new major version in CI, not just one.
#[tokio::test]
async fn the_versions_that_ci_promises_are_here() {
    let majors: Vec<u32> = crate::common::binaries::all()
        .iter()
        .map(|b| b.major)
        .collect();
    if std::env::var_os("CI").is_some() {
        assert!(
            majors.len() >= 2 && majors.contains(&18),
            "only Postgres {majors:?}"
        );
    } else {
        assert!(!majors.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_client_reads_of_a_server_is_the_servers() {
    let cluster = Cluster::start().await;
    let proxy = proxies(&cluster, "transaction").await;
    let said = psql_says(
        &format!("{} application_name=billing", proxy.dsn("app")),
        "select current_setting('server_version') || ' ' || current_setting('application_name')",
    );
    assert!(
        said.contains(&format!("{}.", cluster.binaries.major)) && said.contains("billing"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_databases_have_two_users() {
    let cluster = Cluster::start().await;
    let mut builder = Proxy::builder();
    for name in ["orders", "billing"] {
        let password = new_password();
        cluster.create_role(name, &password).await;
        builder = builder
            .secret(&format!("prod/{name}"), &cluster.secret(name, &password))
            .database(name, &format!("secret = \"prod/{name}\""));
    }
    let proxy = builder.start().await;
    for name in ["orders", "billing"] {
        let session = proxy.connect(name).await;
        assert_eq!(session.value("select current_user").await, name);
    }
}

/// Two different things count the same events: Postgres and the audit log.
#[tokio::test(flavor = "multi_thread")]
async fn every_login_that_postgres_saw_is_in_the_audit_log() {
    let cluster = Cluster::start().await;
    let proxy = proxies(&cluster, "session").await;
    for _ in 0..3 {
        let sessions = [proxy.connect("app").await, proxy.connect("app").await];
        for session in sessions {
            session.value("select 1").await;
            session.close().await;
        }
    }
    let in_postgres = cluster
        .log()
        .matches("connection authorized: user=app_user")
        .count();
    // The log is written behind the sessions.
    let opened = eventually(
        "every login is recorded",
        Duration::from_secs(10),
        async || {
            let opened = proxy.audit_of("server.open");
            (opened.len() == in_postgres).then_some(opened)
        },
    )
    .await;
    let mut pids: Vec<_> = opened.iter().map(|r| r["server"]["pid"].as_i64()).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(
        pids.len(),
        in_postgres,
        "each with the pid of its own backend"
    );
    assert!(!pids.contains(&None));
}
