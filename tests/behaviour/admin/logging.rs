//! The log on standard error: it shows no value, and nobody waits for its reader.

use std::fs::{self, File};
use std::process::Command;
use std::time::Duration;

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;

use crate::common::cli::{self, pgvalet};
use crate::common::moto::Moto;
use crate::common::setup::orders_in_aws;
use crate::common::{Cluster, Proxy, connect, eventually, new_password};

/// A value as it stands in a log, quoted however often.
fn shows(text: &str, value: &str) -> bool {
    let quoted = serde_json::to_string(value).expect("JSON");
    let quoted = quoted.trim_matches('"');
    let twice = serde_json::to_string(quoted).expect("JSON");
    [value, quoted, twice.trim_matches('"')]
        .iter()
        .any(|form| text.contains(form))
}

/// The AWS SDK logs whole answers at that level.
#[tokio::test(flavor = "multi_thread")]
async fn no_level_shows_a_value() {
    let (cluster, moto) = (Cluster::start().await, Moto::start());
    let store = moto.secrets();
    let password = new_password();
    cluster.create_role("orders_app", &password).await;
    let value = cluster.secret("orders_app", &password);
    let created = store
        .create_secret()
        .name("prod/orders")
        .secret_string(&value);
    created.send().await.expect("created");
    let proxy = orders_in_aws(&moto.url, "1s", "")
        .environment("PGVALET_LOG", "trace,aws_smithy_runtime=trace,hyper=trace")
        .start()
        .await;
    proxy.watch_for(&value);
    let session = proxy.connect("orders").await;
    assert_eq!(session.value("select 1").await, "1");

    // Credentials, and the level, for commands beside it.
    let more = "PGVALET_LOG=trace\n";
    fs::write(proxy.directory().join("aws.env"), more).expect("written");
    let rotated = pgvalet(&proxy.config(), &["rotate", "prod/orders"], "");
    let said = [&rotated.stdout[..], &rotated.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(rotated.status.success(), "it did not rotate");
    let first = format!("{:?}", said.lines().take(12).collect::<Vec<_>>());
    assert!(!shows(&first, &password), "rotate shows the password");
    let nowhere = connect(&proxy.dsn("no_such_database")).await;
    assert!(nowhere.is_err());
    let log = proxy.log();
    assert!(log.contains("DEBUG pgvalet"), "the level counts for ours");
    assert!(!log.contains("aws_") && !log.contains("hyper"));
    let checked = pgvalet(&proxy.config(), &["check"], "");
    let checked = String::from_utf8_lossy(&checked.stderr).into_owned();

    let current = store.get_secret_value().secret_id("prod/orders");
    let current = current.version_stage("AWSCURRENT");
    let current = current.send().await.expect("read");
    let current = current.secret_string().expect("a value").to_owned();
    assert!(current != value, "nothing was changed: {first}");
    proxy.watch_for(&current);
    eventually("it is adopted", Duration::from_secs(20), || async {
        let uses = proxy.audit_of("credential.use");
        session.value("select 1").await;
        (uses.len() >= 2).then_some(())
    })
    .await;
    let fresh: serde_json::Value = serde_json::from_str(&current).expect("JSON");
    let fresh = fresh["password"].as_str().expect("a password");
    for (place, text) in [
        ("the log", &proxy.log()),
        ("rotate", &said),
        ("check", &checked),
    ] {
        for value in [password.as_str(), fresh] {
            assert!(!shows(text, value), "a value stands in what {place} says");
        }
    }
    proxy.assert_no_leak().await;
}

/// Standard error is a pipe, and nobody reads it.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_stops_nobody() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let secret = cluster.secret("app_user", &password);
    let mut proxy = Proxy::with_one_database(&secret, "")
        .listen("denials_per_second = 1000\nmax_handshakes_per_address = 1000")
        .environment("PGVALET_LOG", "debug")
        .prepare();
    let pipe = proxy.directory().join("pipe");
    nix::unistd::mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).expect("a pipe");
    // Both ends, so that neither opening waits.
    let unread = File::options()
        .read(true)
        .write(true)
        .open(&pipe)
        .expect("opened");
    let program = std::env::var("PGVALET_BINARY").unwrap_or(cli::PGVALET.to_owned());
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec \"$0\" \"$@\" 2> \"$PIPE\"", &program])
        .env("PIPE", &pipe);
    proxy.run_by(command);
    proxy.wait_ready().await;

    let session = proxy.connect("app").await;
    let nowhere = format!("{} connect_timeout=30", proxy.dsn("no_such_database"));
    for _ in 0..30 {
        let denied = join_all((0..200).map(|_| connect(&nowhere))).await;
        assert!(denied.iter().all(Result::is_err));
    }
    assert_eq!(session.value("select 1").await, "1");
    let another = proxy.connect("app").await;
    assert_eq!(another.value("select 1").await, "1");
    let dropped = "pgvalet_log_lines_dropped_total";
    assert!(proxy.metric(dropped, &[]).await > Some(0.0));

    // Nor does the end wait for it.
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.wait_exit(Duration::from_secs(15)).await.success());
    drop(unread);
}

/// At `debug` our own log tells what happens to sessions, connections and secrets.
#[tokio::test(flavor = "multi_thread")]
async fn debug_tells_what_happens() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let secret = cluster.secret("app_user", &password);
    let proxy = Proxy::with_one_database(&secret, "")
        .environment("PGVALET_LOG", "debug")
        .start()
        .await;
    proxy.connect("app").await.value("select 1").await;
    proxy.status().await;
    for line in [
        "looked: AWSCURRENT is ",
        "server connection opened",
        "session begins",
        "session ends: the client has left",
        "admin request answered",
    ] {
        eventually(line, Duration::from_secs(10), || async {
            proxy.log().contains(line).then_some(())
        })
        .await;
    }
}
