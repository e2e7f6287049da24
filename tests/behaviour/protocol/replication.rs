//! Replication connections pass through on a server connection of their own:
//! the real pg_basebackup, pg_recvlogical and psql.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::common::binaries::{self, client_program};
use crate::common::raw::{Raw, sqlstate, start_up};
use crate::common::{Cluster, Proxy, connect, end, eventually, new_password};

const ROLE: &str = "replicator";

struct World {
    cluster: Cluster,
    proxy: Proxy,
    password: String,
}

/// A cluster whose role may replicate, and a proxy in front of it.
async fn world(more: &str) -> World {
    // pg_basebackup serves its own version and older ones.
    let complete = binaries::all()
        .into_iter()
        .find(|b| b.bin.join("pg_basebackup").exists());
    let mut cluster = match complete {
        Some(binaries) => Cluster::start_with(&binaries).await,
        None => Cluster::start().await,
    };
    cluster.restart_with(&[("wal_level", "logical")]).await;
    let password = new_password();
    cluster.create_role(ROLE, &password).await;
    cluster
        .execute(&format!("ALTER ROLE {ROLE} REPLICATION"))
        .await;
    // Programs that name no database of their own ask for `replication`.
    let proxy = Proxy::with_one_database(&cluster.secret(ROLE, &password), more)
        .database("replication", &format!("secret = \"app\"\n{more}"))
        .start()
        .await;
    World {
        cluster,
        proxy,
        password,
    }
}

impl World {
    fn program(&self, name: &str) -> Command {
        let mut command = client_program(name);
        command
            .args(["-h", "127.0.0.1", "-p", &self.proxy.port.to_string()])
            .args(["-U", "anyone", "-w"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn psql(&self, replication: &str, sql: &[&str]) -> Output {
        psql(&self.proxy, replication, sql)
    }

    async fn walsenders(&self, expected: usize) {
        let admin = self.cluster.superuser().await;
        let what = format!("{expected} walsenders");
        eventually(&what, Duration::from_secs(20), || async {
            let sql = "select count(*) from pg_stat_replication where state = 'streaming'";
            (admin.value(sql).await == expected.to_string()).then_some(())
        })
        .await;
    }

    async fn no_walsender(&self) {
        let admin = self.cluster.superuser().await;
        eventually("no walsender", Duration::from_secs(20), || async {
            let sql = "select count(*) from pg_stat_activity where backend_type = 'walsender'";
            (admin.value(sql).await == "0").then_some(())
        })
        .await;
    }
}

fn psql(proxy: &Proxy, replication: &str, sql: &[&str]) -> Output {
    let dsn = format!("{} replication={replication}", proxy.dsn("app"));
    let mut command = client_program("psql");
    command.args(["-X", "-w", "-At", &dsn]);
    for sql in sql {
        command.args(["-c", sql]);
    }
    command.stdin(Stdio::null()).output().expect("psql starts")
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// The status of the pool that the tests look at.
async fn app(proxy: &Proxy) -> serde_json::Value {
    let status = proxy.status().await;
    let pools = status["databases"].as_array().expect("pools");
    let app = pools.iter().find(|p| p["name"] == "app");
    app.expect("the pool").clone()
}

/// pg_recvlogical into a file; ended when dropped.
struct Receiver {
    child: Child,
    directory: TempDir,
}

impl Receiver {
    fn start(world: &World) -> Self {
        let directory = TempDir::with_prefix("pgvalet-wal-").expect("a directory");
        let child = world
            .program("pg_recvlogical")
            .args(["-d", "app", "--slot", "changes", "--start", "-n", "-f"])
            .arg(directory.path().join("out"))
            .args(["-P", "pgoutput", "-o", "proto_version=1"])
            .args(["-o", "publication_names=changes", "-F", "0"])
            .spawn()
            .expect("pg_recvlogical starts");
        Self { child, directory }
    }

    async fn received(&self, word: &str) {
        eventually(word, Duration::from_secs(20), || async {
            let bytes = std::fs::read(self.directory.path().join("out")).unwrap_or_default();
            bytes
                .windows(word.len())
                .any(|w| w == word.as_bytes())
                .then_some(())
        })
        .await;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        end(&mut self.child, Signal::SIGINT, Duration::from_secs(5));
    }
}

async fn published(world: &World) -> Receiver {
    world
        .cluster
        .execute(
            "CREATE TABLE items (name text); GRANT ALL ON items TO PUBLIC;
             CREATE PUBLICATION changes FOR TABLE items",
        )
        .await;
    let created = world
        .program("pg_recvlogical")
        .args(["-d", "app", "--slot", "changes", "--create-slot"])
        .args(["-P", "pgoutput"])
        .output()
        .expect("pg_recvlogical starts");
    assert!(created.status.success(), "{}", said(&created));
    let receiver = Receiver::start(world);
    world.walsenders(1).await;
    receiver
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_backup_is_whole_and_counts_in_the_ceiling() {
    let world = world("pool_size = 3").await;
    let directory = TempDir::with_prefix("pgvalet-backup-").expect("a directory");
    let target = directory.path().join("data");
    let backup = world
        .program("pg_basebackup")
        .args([
            "--wal-method=stream",
            "--checkpoint=fast",
            "--no-sync",
            "-D",
        ])
        .arg(&target)
        .output()
        .expect("pg_basebackup starts");
    assert!(backup.status.success(), "{}", said(&backup));
    let verified = client_program("pg_verifybackup")
        .arg(&target)
        .output()
        .expect("pg_verifybackup starts");
    assert!(verified.status.success(), "{}", said(&verified));
    world.no_walsender().await;
    // Other clients are served as before, by connections of the pool.
    assert_eq!(
        world.proxy.connect("app").await.value("select 1").await,
        "1"
    );
    world.proxy.assert_no_leak().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_walsender_answers_psql() {
    let world = world("pool_size = 1").await;
    for kind in ["database", "true"] {
        let output = world.psql(kind, &["IDENTIFY_SYSTEM", "SHOW data_directory_mode"]);
        assert!(output.status.success(), "{}", said(&output));
        let system = world
            .cluster
            .superuser()
            .await
            .value("select system_identifier from pg_control_system()")
            .await;
        assert!(said(&output).contains(&system), "{}", said(&output));
        assert!(said(&output).contains("0700"), "{}", said(&output));
    }
    // With `database`, SQL as well, and the client's own start-up parameters.
    let dsn = format!(
        "{} replication=database options='-c work_mem=7MB'",
        world.proxy.dsn("app")
    );
    let output = client_program("psql")
        .args(["-X", "-w", "-At", "-c", "show work_mem", &dsn])
        .stdin(Stdio::null())
        .output()
        .expect("psql starts");
    assert_eq!(said(&output).trim(), "7MB");
    let output = world.psql("perhaps", &["select 1"]);
    assert!(said(&output).contains("invalid value for parameter"));
    // Nothing of it stays: the only place in the pool is free again.
    assert_eq!(
        world
            .proxy
            .connect("app")
            .await
            .value("show work_mem")
            .await,
        "4MB"
    );
    let alive = format!("select count(*) from pg_stat_activity where usename = '{ROLE}'");
    let alive = world.cluster.superuser().await.value(&alive).await;
    assert_eq!(alive, "1", "of the pool that was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logical_stream_goes_on_through_a_rotation() {
    let world = world("pool_size = 3").await;
    let receiver = published(&world).await;
    world
        .cluster
        .execute("INSERT INTO items VALUES ('before-the-rotation')")
        .await;
    receiver.received("before-the-rotation").await;

    let next = new_password();
    assert_ne!(next, world.password);
    world.cluster.alter_password(ROLE, &next).await;
    world
        .proxy
        .secret_put("app", &world.cluster.secret(ROLE, &next))
        .await;
    let pool = eventually("adopted", Duration::from_secs(20), || async {
        let pool = app(&world.proxy).await;
        (pool["generations"].as_array()?.len() == 2).then_some(pool)
    })
    .await;
    let draining = &pool["generations"][1];
    assert_eq!(draining["holders"][0]["reason"], "replicates", "{pool}");

    world
        .cluster
        .execute("INSERT INTO items VALUES ('after-the-rotation')")
        .await;
    receiver.received("after-the-rotation").await;
    // What replicates from now on logs in with the new version.
    let output = world.psql("database", &["IDENTIFY_SYSTEM"]);
    assert!(output.status.success(), "{}", said(&output));
    drop(receiver);
    world.no_walsender().await;
    eventually("drained", Duration::from_secs(20), || async {
        let pool = app(&world.proxy).await;
        (pool["generations"].as_array()?.len() == 1).then_some(())
    })
    .await;
    world.proxy.assert_no_leak().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_will_not_let_go_is_ended_at_the_deadline() {
    let world =
        world("pool_size = 3\ndrain_timeout = \"1s\"\ndrain_deadline_action = \"terminate\"").await;
    let mut receiver = published(&world).await;
    let next = new_password();
    world.cluster.alter_password(ROLE, &next).await;
    world
        .proxy
        .secret_put("app", &world.cluster.secret(ROLE, &next))
        .await;
    let deadline = Instant::now() + Duration::from_secs(20);
    let status = loop {
        if let Some(status) = receiver.child.try_wait().expect("a child") {
            break status;
        }
        assert!(Instant::now() < deadline, "it streams on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(!status.success());
    let mut text = String::new();
    let stderr = receiver.child.stderr.as_mut().expect("piped");
    std::io::Read::read_to_string(stderr, &mut text).expect("text");
    assert!(text.contains("its credential was replaced"), "{text}");
    world.no_walsender().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_replicate_is_told_so() {
    let world = world("pool_size = 1").await;
    world
        .cluster
        .execute(&format!("ALTER ROLE {ROLE} NOREPLICATION"))
        .await;
    for kind in ["database", "true"] {
        let text = said(&world.psql(kind, &["IDENTIFY_SYSTEM"]));
        assert!(text.contains("may not start replication"), "{text}");
        assert!(text.contains("ALTER ROLE"), "{text}");
    }
    // It is no fault of the credential: the pool serves on.
    assert_eq!(
        world.proxy.connect("app").await.value("select 1").await,
        "1"
    );
    let text = world.proxy.log();
    assert!(!text.contains("no longer logs in"), "{text}");
}

/// The SQLSTATE of a start that is refused.
async fn refused(proxy: &Proxy, parameters: &[(&str, &str)]) -> String {
    let mut raw = Raw::open(proxy).await;
    let mut all = vec![
        ("user", "anyone"),
        ("database", "app"),
        ("replication", "database"),
    ];
    all.extend_from_slice(parameters);
    raw.send(&start_up(0x0003_0000, &all)).await;
    let said = raw.until(b'E').await;
    sqlstate(&said).expect("a SQLSTATE")
}

/// A client that may not replicate and keeps trying costs the server next to
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn refused_starts_are_few_logins() {
    let world = world("pool_size = 3").await;
    let proxy = &world.proxy;
    let session = proxy.connect("app").await;
    assert_eq!(session.value("select 1").await, "1");
    let logins = async || {
        let worked = proxy.metric("pgvalet_server_login_seconds_count", &[]);
        let failed = proxy.metric("pgvalet_server_login_failures_total", &["database=\"app\""]);
        (worked.await.unwrap_or(0.0), failed.await.unwrap_or(0.0))
    };
    // Its own parameters are wrong: a few times the server says so, then it is not asked.
    let (worked, failed) = logins().await;
    let wrong = [("work_mem", "perhaps")];
    let codes = join_all((0..100).map(|_| refused(proxy, &wrong))).await;
    assert!(codes.iter().all(|c| c == "22023" || c == "57P03"));
    assert!(codes.iter().any(|c| c == "22023"), "{codes:?}");
    let after = logins().await;
    assert_eq!(after.0, worked, "no other login");
    assert!(after.1 - failed <= 9.0, "{after:?}");

    // The role may not: the same for everybody, and known after the first.
    world
        .cluster
        .execute(&format!("ALTER ROLE {ROLE} NOREPLICATION"))
        .await;
    eventually("it is asked again", Duration::from_secs(20), || async {
        (refused(proxy, &[]).await == "42501").then_some(())
    })
    .await;
    let (worked, failed) = logins().await;
    let codes = join_all((0..100).map(|_| refused(proxy, &[]))).await;
    assert!(codes.iter().all(|c| c == "42501" || c == "57P03"));
    let after = logins().await;
    assert_eq!(after.0, worked, "no other login");
    assert!(after.1 - failed <= 3.0, "{after:?}");
    assert_eq!(session.value("select 1").await, "1");

    // A right that is granted is noticed before long.
    world
        .cluster
        .execute(&format!("ALTER ROLE {ROLE} REPLICATION"))
        .await;
    eventually("it replicates", Duration::from_secs(20), || async {
        let dsn = format!("{} replication=database", proxy.dsn("app"));
        let output = client_program("psql")
            .args(["-X", "-w", "-At", "-c", "IDENTIFY_SYSTEM", &dsn])
            .stdin(Stdio::null())
            .output()
            .expect("psql starts");
        output.status.success().then_some(())
    })
    .await;
    let another = connect(&proxy.dsn("app")).await.expect("served");
    assert_eq!(another.value("select 1").await, "1");
}
