//! A secret of which no version has ever logged in: clients are told at once, not after the time
//! that a rotation may take, and are served as soon as a good version is there.

use std::time::Duration;

use crate::common::cli::pgvalet_ok;
use crate::common::client::told;
use crate::common::{Cluster, Proxy, connect, eventually, new_password};

/// Far below `rotation_grace` and `pool_wait_timeout`, which are two minutes.
const AT_ONCE: Duration = Duration::from_secs(60);

/// What a client reads that is refused: the SQLSTATE, the message and the hint.
async fn refusal(proxy: &Proxy) -> (String, String, String) {
    let answer = tokio::time::timeout(AT_ONCE, connect(&proxy.dsn("app"))).await;
    let refused = answer.expect("it hangs").map(|_| ());
    let (sqlstate, message, _, hint) = told(&refused.expect_err("nobody can log in"));
    (sqlstate, message, hint.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_secret_that_never_logged_in_is_told_at_once() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app", &password).await;
    let wrong = cluster.secret("app", &new_password());
    let proxy = Proxy::with_one_database(&wrong, "").start_unready().await;
    // The first one finds it out; the others do not have to.
    for _ in 0..3 {
        let (sqlstate, message, hint) = refusal(&proxy).await;
        assert_eq!(sqlstate, "57P03", "{message}");
        assert!(
            message.contains("refuses the password (28P01)"),
            "{message}"
        );
        assert!(hint.contains("store the right one"), "{hint}");
    }
    proxy
        .secret_put("app", &cluster.secret("app", &password))
        .await;
    eventually("a client is served", AT_ONCE, || async {
        connect(&proxy.dsn("app")).await.ok().map(drop)
    })
    .await;
}

/// Once a version has logged in, clients wait: a rotation may be under way.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_has_logged_in_is_waited_for() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app", &password).await;
    let secret = cluster.secret("app", &password);
    let proxy = Proxy::with_one_database(&secret, "").start().await;
    let other = new_password();
    cluster.alter_password("app", &other).await;
    cluster
        .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
        .await;
    let dsn = proxy.dsn("app");
    let waiting = tokio::spawn(async move {
        let session = connect(&dsn).await.expect("served in the end");
        session.value("SELECT 1").await
    });
    eventually("no version logs in", AT_ONCE, || async {
        proxy
            .log()
            .contains("no version of secret app")
            .then_some(())
    })
    .await;
    assert!(!waiting.is_finished(), "{}", proxy.log());
    proxy
        .secret_put("app", &cluster.secret("app", &other))
        .await;
    assert_eq!(waiting.await.expect("no panic"), "1");
}

/// pgvalet starts in the middle of a rotation: the role has its new password already, which the
/// store shows under no label yet that pgvalet could use.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_secret_that_is_being_rotated_is_waited_for() {
    let cluster = Cluster::start().await;
    let (new, old) = (new_password(), new_password());
    cluster.create_role("app", &new).await;
    let proxy = Proxy::with_one_database(&cluster.secret("app", &old), "")
        .start_unready()
        .await;
    let (_, message, _) = refusal(&proxy).await;
    assert!(message.contains("(28P01)"), "{message}");
    // The value of another attempt: it does not log in either.
    let pending = cluster.secret("app", &new_password());
    let put = ["secret", "put", "app", "--stage", "AWSPENDING"];
    pgvalet_ok(&proxy.config(), &put, &pending);
    proxy.watch_for(&pending);
    let dsn = proxy.dsn("app");
    let waiting = eventually("a client waits", AT_ONCE, || async {
        let dsn = dsn.clone();
        let client = tokio::spawn(async move { connect(&dsn).await.map(drop) });
        eventually("it waits, or is refused", AT_ONCE, || async {
            let waits = proxy.log().contains("waits for a server connection")
                || proxy
                    .metric("pgvalet_client_waiting", &[])
                    .await
                    .is_some_and(|waiting| waiting > 0.0);
            (waits || client.is_finished()).then_some(())
        })
        .await;
        (!client.is_finished()).then_some(client)
    })
    .await;
    proxy.secret_put("app", &cluster.secret("app", &new)).await;
    let served = tokio::time::timeout(AT_ONCE, waiting).await;
    served
        .expect("it hangs")
        .expect("no panic")
        .expect("served in the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_not_there_is_told_at_once() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app", &password).await;
    let proxy = Proxy::builder()
        .secret("other", &cluster.secret("app", &password))
        .database("app", "secret = \"app\"")
        .start_unready()
        .await;
    let (sqlstate, message, hint) = refusal(&proxy).await;
    assert_eq!(sqlstate, "57P03");
    assert_eq!(message, "secret \"app\" cannot be used");
    assert!(hint.contains("pgvalet check"), "{hint}");
    pgvalet_ok(
        &proxy.config(),
        &["secret", "create", "app"],
        &cluster.secret("app", &password),
    );
    proxy.watch_for(&cluster.secret("app", &password));
    eventually("a client is served", AT_ONCE, || async {
        connect(&proxy.dsn("app")).await.ok().map(drop)
    })
    .await;
}
