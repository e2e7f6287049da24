//! Mistakes are told in one clear sentence, at the start if they show then; those
//! that can heal while pgvalet runs heal without a restart.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::common::client::told;
use crate::common::{Cluster, Proxy, cli, connect, eventually, new_password};

/// Runs a proxy that cannot start; what it said.
async fn refusal(mut proxy: Proxy) -> String {
    proxy.run();
    let status = proxy.wait_exit(Duration::from_secs(15)).await;
    let said = proxy.log();
    assert!(matches!(status.code(), Some(1 | 2)), "{status}: {said}");
    assert!(
        !said.contains("panicked") && !said.contains("RUST_BACKTRACE"),
        "{said}"
    );
    assert!(said.lines().count() <= 4, "more than a sentence:\n{said}");
    said
}

fn any_secret() -> String {
    format!(
        r#"{{"username":"u","password":"{}","host":"127.0.0.1"}}"#,
        new_password()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_that_cannot_be_read() {
    let proxy = Proxy::with_one_database(&any_secret(), "").prepare();
    let key = proxy.directory().join("store.key");
    fs::remove_file(&key).expect("the key");
    // A directory: modes would not stop a test that runs as root.
    fs::create_dir(&key).expect("a directory");
    let said = refusal(proxy).await;
    assert!(said.contains("store.key"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_another_store() {
    let proxy = Proxy::with_one_database(&any_secret(), "").prepare();
    let other = Proxy::with_one_database(&any_secret(), "").prepare();
    let key = |p: &Proxy| p.directory().join("store.key");
    fs::copy(key(&other), key(&proxy)).expect("copied");
    let said = refusal(proxy).await;
    assert!(said.contains("key"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_key_is_not_silently_replaced() {
    let proxy = Proxy::with_one_database(&any_secret(), "").prepare();
    fs::remove_file(proxy.directory().join("store.key")).expect("the key");
    let said = refusal(proxy).await;
    assert!(said.contains("store.key"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken() {
    let proxy = Proxy::with_one_database(&any_secret(), "").prepare();
    let port = proxy.port;
    let _taken = TcpListener::bind(("127.0.0.1", port)).expect("a port");
    let said = refusal(proxy).await;
    assert!(said.contains(&port.to_string()), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_typing_error() {
    let proxy = Proxy::builder()
        .database("app", "secret = \"app\"\npool_sise = 5")
        .prepare();
    let said = refusal(proxy).await;
    assert!(
        said.contains("pool_sise") && said.contains("pool_size"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_there() {
    let output = cli::pgvalet("/nonexistent/pgvalet.toml".as_ref(), &["run"], "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("/nonexistent/pgvalet.toml"), "{said}");
}

/// A client's view of a database that cannot be served now: an error that is
/// not its fault, and without a word of what is inside the secret.
async fn out_of_order(proxy: &Proxy) -> (String, String) {
    let error = match connect(&proxy.dsn("app")).await {
        Ok(session) => session
            .simple_query("select 1")
            .await
            .expect_err("it cannot work"),
        Err(error) => error,
    };
    let (sqlstate, message, detail, hint) = told(&error);
    assert!(
        !sqlstate.starts_with("28"),
        "{sqlstate}: the client did nothing wrong"
    );
    let text = format!("{message} {detail:?} {hint:?}");
    assert!(
        !text.contains("app_user"),
        "the upstream user is none of its business: {text}"
    );
    proxy.scan(&[("an error".to_owned(), text)]);
    (sqlstate, message)
}

async fn heals(proxy: &Proxy) {
    eventually(
        "clients are served again",
        Duration::from_secs(30),
        || async {
            let session = connect(&proxy.dsn("app")).await.ok()?;
            session.simple_query("select 1").await.ok().map(|_| ())
        },
    )
    .await;
}

/// The log says it, once it is a trouble.
async fn says(proxy: &Proxy, clue: &str) {
    eventually(clue, Duration::from_secs(20), || async {
        proxy.log().contains(clue).then_some(())
    })
    .await;
}

/// Short waits: here they only delay the verdict.
const HASTY: &str = "pool_wait_timeout = \"2s\"\nrotation_grace = \"2s\"\nconnect_timeout = \"2s\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_no_credential_heals_with_its_next_version() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let nonsense = new_password();
    for (value, clue) in [
        (nonsense.clone(), "JSON"),
        (format!(r#"{{"password":"{nonsense}"}}"#), "username"),
        (r#"{"username":"app_user"}"#.to_owned(), "password"),
        (
            format!(r#"{{"username":"app_user","password":["{nonsense}"]}}"#),
            "password",
        ),
    ] {
        let proxy = Proxy::with_one_database(&value, HASTY)
            .start_unready()
            .await;
        proxy.watch_for(&format!(r#"{{"password":"{nonsense}"}}"#));
        out_of_order(&proxy).await;
        says(&proxy, clue).await;
        assert!(!proxy.audit_of("secret.fail").is_empty());
        proxy
            .secret_put("app", &cluster.secret("app_user", &password))
            .await;
        heals(&proxy).await;
        proxy.assert_no_leak().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_does_not_exist_yet() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let proxy = Proxy::builder()
        .secret("something/else", &any_secret())
        .database("app", &format!("secret = \"app\"\n{HASTY}"))
        .start_unready()
        .await;
    out_of_order(&proxy).await;
    says(&proxy, "secret app cannot be used").await;
    proxy.secret_create("app", &cluster.secret("app_user", &password));
    heals(&proxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_goes_down_and_comes_back() {
    let mut cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let proxy = Proxy::with_one_database(&cluster.secret("app_user", &password), HASTY)
        .start()
        .await;
    let session = proxy.connect("app").await;
    session.value("select 1").await;
    cluster.stop();
    eventually("the outage shows", Duration::from_secs(10), || async {
        session.simple_query("select 1").await.err().map(|_| ())
    })
    .await;
    let (_, message) = out_of_order(&proxy).await;
    assert!(message.contains("app"), "{message}");
    cluster.run().await;
    heals(&proxy).await;
    // An unreachable host says nothing about the secret.
    assert_eq!(
        proxy
            .metric("pgvalet_adoptions_total", &["outcome=\"failed\""])
            .await
            .unwrap_or(0.0),
        0.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_comes_up_after_the_proxy() {
    let mut cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    cluster.stop();
    let proxy = Proxy::with_one_database(&cluster.secret("app_user", &password), HASTY)
        .start_unready()
        .await;
    out_of_order(&proxy).await;
    // It goes on trying, but with restraint.
    let before = proxy.audit_of("server.fail").len();
    let began = Instant::now();
    eventually("seven attempts", Duration::from_secs(60), || async {
        (proxy.audit_of("server.fail").len() >= before + 7).then_some(())
    })
    .await;
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(1), "seven attempts in {took:?}");
    cluster.run().await;
    heals(&proxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_missing_upstream() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let more = format!("dbname = \"not_there_yet\"\n{HASTY}");
    let proxy = Proxy::with_one_database(&cluster.secret("app_user", &password), &more)
        .start_unready()
        .await;
    out_of_order(&proxy).await;
    says(&proxy, "not_there_yet").await;
    cluster.execute("create database not_there_yet").await;
    heals(&proxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_wrong_from_the_start() {
    let cluster = Cluster::start().await;
    let (right, wrong) = (new_password(), new_password());
    cluster.create_role("app_user", &right).await;
    let proxy = Proxy::with_one_database(&cluster.secret("app_user", &wrong), HASTY)
        .start_unready()
        .await;
    out_of_order(&proxy).await;
    let failures = ["sqlstate=\"28P01\""];
    let counted = proxy
        .metric("pgvalet_server_login_failures_total", &failures)
        .await;
    assert!(counted > Some(0.0), "{counted:?}");
    proxy
        .secret_put("app", &cluster.secret("app_user", &right))
        .await;
    heals(&proxy).await;
}
