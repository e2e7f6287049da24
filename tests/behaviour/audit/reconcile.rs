//! The log of Postgres and that of pgvalet tell of the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::common::cli::{pgvalet, pgvalet_ok};
use crate::common::{Cluster, Proxy, connect, eventually, new_password};

/// A cluster that logs every statement, in JSON.
async fn telling() -> Cluster {
    let mut cluster = Cluster::start().await;
    cluster
        .restart_with(&[
            ("logging_collector", "on"),
            ("log_destination", "jsonlog"),
            ("log_directory", "log"),
            ("log_filename", "told.log"),
            ("log_statement", "all"),
            ("log_timezone", "UTC"),
        ])
        .await;
    cluster
}

/// What Postgres tells of a role, in a file of its own: the tests have connections too.
fn told(cluster: &Cluster, proxy: &Proxy, role: &str) -> PathBuf {
    let log = cluster.data().join("log/told.json");
    let text = fs::read_to_string(&log).expect("read");
    let is_one = |line: &&str| {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        line["user"] == role
    };
    let lines: Vec<&str> = text.lines().filter(is_one).collect();
    let path = proxy.directory().join(format!("{role}.json"));
    fs::write(&path, lines.join("\n") + "\n").expect("written");
    path
}

const CLIENTS: usize = 8;
const SESSIONS: usize = 100;

/// Many sessions of several clients, in either mode, with a rotation and a kill in between.
#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_postgres_is_of_one_client_and_version() {
    let cluster = telling().await;
    for mode in ["transaction", "session"] {
        let role = format!("app_{mode}");
        let password = new_password();
        cluster.create_role(&role, &password).await;
        let keys = format!(
            "secret = \"app\"\npool_mode = \"{mode}\"\npool_size = 20\napplication_name = \"[{{client}}]\""
        );
        let mut builder = Proxy::builder()
            .secret("app", &cluster.secret(&role, &password))
            .database("app", &keys)
            .audit("leases = true");
        for n in 0..CLIENTS {
            builder = builder.client(&format!(
                "name = \"client-{n}\"\nnetwork = [\"127.0.0.0/8\"]\nusers = [\"u{n}\"]\ndatabases = [\"app\"]"
            ));
        }
        let mut proxy = builder.start().await;
        for round in 0..2 {
            let dsn = |n: usize| proxy.dsn_as(&format!("u{}", n % CLIENTS), "app");
            let tasks: Vec<_> = (0..SESSIONS)
                .map(|n| {
                    let dsn = dsn(n);
                    tokio::spawn(async move {
                        let session = connect(&dsn).await.expect("let in");
                        for i in 0..5 {
                            session.value(&format!("select {n} + {i}")).await;
                        }
                        session.close().await;
                    })
                })
                .collect();
            if round == 0 {
                proxy.rotate(&cluster, &role).await;
            }
            for task in tasks {
                task.await.expect("done");
            }
            eventually("all have ended", Duration::from_secs(20), || async {
                let ends = proxy.audit_of("session.end").len();
                (ends >= SESSIONS * (round + 1)).then_some(())
            })
            .await;
            if round == 0 {
                proxy.signal(Signal::SIGKILL);
                proxy.wait_exit(Duration::from_secs(10)).await;
                proxy.run();
                proxy.wait_ready().await;
            }
        }
        proxy.signal(Signal::SIGTERM);
        proxy.wait_exit(Duration::from_secs(20)).await;
        let told = told(&cluster, &proxy, &role);
        let told = told.to_str().expect("UTF-8");
        let arguments = ["audit", "reconcile", "--json", "--postgres-log", told];
        let said = pgvalet(&proxy.config(), &arguments, "");
        let found: Value = serde_json::from_slice(&said.stdout).expect("JSON");
        assert_eq!(found["left"], Value::Array(Vec::new()), "{mode}");
        assert!(said.status.success());
        assert_eq!(found["logins"], found["logins_found"], "{mode}");
        let by_client = found["by_client"].as_object().expect("an object");
        let all: u64 = by_client.values().filter_map(Value::as_u64).sum();
        assert!(all >= (2 * SESSIONS * 5) as u64, "{mode}: {found}");
        for n in 0..CLIENTS {
            let named = |with: &&String| with.starts_with(&format!("client-{n} with app "));
            assert!(by_client.keys().any(|with| named(&with)), "{mode}: {found}");
        }
    }
}

/// Clients that work until they are told to stop, and begin again when they lose their
/// connection.
struct Busy {
    stop: Arc<AtomicBool>,
    /// Statements that were answered.
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

impl Busy {
    fn start(proxy: &Proxy, clients: usize) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let clients = (0..clients).map(|n| {
            let dsn = proxy.dsn_as(&format!("u{}", n % CLIENTS), "app");
            tokio::spawn(work(dsn, stop.clone(), answered.clone()))
        });
        let clients = clients.collect();
        Self {
            stop,
            answered,
            clients,
        }
    }

    /// Waits until so many more statements were answered.
    async fn answers(&self, more: u64) {
        let until = self.answered.load(Relaxed) + more;
        eventually("clients are answered", Duration::from_secs(60), || async {
            (self.answered.load(Relaxed) >= until).then_some(())
        })
        .await;
    }

    async fn finish(self) -> u64 {
        self.stop.store(true, Relaxed);
        for client in self.clients {
            client.await.expect("no panic");
        }
        self.answered.load(Relaxed)
    }
}

async fn work(dsn: String, stop: Arc<AtomicBool>, answered: Arc<AtomicU64>) {
    while !stop.load(Relaxed) {
        let Ok(session) = connect(&dsn).await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        for n in 0..5 {
            if session.batch_execute(&format!("select {n}")).await.is_err() {
                break;
            }
            answered.fetch_add(1, Relaxed);
        }
        session.close().await;
    }
}

/// `rotations` on either side of a kill, while so many clients work, in either mode: every line
/// of Postgres's log is of one client and version.
async fn worked_killed_and_reconciled(clients: usize, rotations: usize) {
    let cluster = telling().await;
    for mode in ["transaction", "session"] {
        let role = format!("app_{mode}");
        let password = new_password();
        cluster.create_role(&role, &password).await;
        let keys = format!(
            "secret = \"app\"\npool_mode = \"{mode}\"\npool_size = 10\napplication_name = \"[{{client}}]\""
        );
        let mut builder = Proxy::builder()
            .secret("app", &cluster.secret(&role, &password))
            .database("app", &keys)
            .audit("leases = true");
        for n in 0..CLIENTS {
            builder = builder.client(&format!(
                "name = \"client-{n}\"\nnetwork = [\"127.0.0.0/8\"]\nusers = [\"u{n}\"]\ndatabases = [\"app\"]"
            ));
        }
        let mut proxy = builder.start().await;
        let busy = Busy::start(&proxy, clients);
        let enough = 2 * clients as u64;
        for half in 0..2 {
            for _ in 0..rotations {
                busy.answers(enough).await;
                proxy.rotate(&cluster, &role).await;
            }
            // A login that a kill interrupts has no record: there is none at this moment.
            let drained = (half + 1) * rotations;
            eventually("old versions drain", Duration::from_secs(60), || async {
                (proxy.audit_of("drain.end").len() >= drained).then_some(())
            })
            .await;
            busy.answers(enough).await;
            if half == 0 {
                proxy.signal(Signal::SIGKILL);
                proxy.wait_exit(Duration::from_secs(10)).await;
                proxy.run();
                proxy.wait_ready().await;
            }
        }
        let answered = busy.finish().await;
        proxy.signal(Signal::SIGTERM);
        proxy.wait_exit(Duration::from_secs(20)).await;
        let told = told(&cluster, &proxy, &role);
        let told = told.to_str().expect("UTF-8");
        let arguments = ["audit", "reconcile", "--json", "--postgres-log", told];
        let said = pgvalet(&proxy.config(), &arguments, "");
        let found: Value = serde_json::from_slice(&said.stdout).expect("JSON");
        assert_eq!(found["left"], Value::Array(Vec::new()), "{mode}");
        assert!(said.status.success(), "{mode}");
        assert_eq!(found["logins"], found["logins_found"], "{mode}");
        let by_client = found["by_client"].as_object().expect("an object");
        let all: u64 = by_client.values().filter_map(Value::as_u64).sum();
        assert!(all >= answered, "{mode}: {answered} were answered: {found}");
        eprintln!("{mode}: {answered} answers, {all} statements of clients, none left over");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_amid_the_work_leaves_no_line_over() {
    worked_killed_and_reconciled(24, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: two hundred clients"]
async fn a_kill_amid_the_work_of_two_hundred_at_length() {
    worked_killed_and_reconciled(200, 5).await;
}

/// The logins of `pgvalet check` are recorded beside the log. A log of Postgres that tells of
/// nothing proves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_is_recorded_and_an_empty_log_is_no_proof() {
    let cluster = telling().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let mut proxy = Proxy::with_one_database(&cluster.secret("app_user", &password), "")
        .audit("leases = true")
        .start()
        .await;
    let session = proxy.connect("app").await;
    session.value("select 1").await;
    session.close().await;
    pgvalet_ok(&proxy.config(), &["check"], "");
    proxy.signal(Signal::SIGTERM);
    proxy.wait_exit(Duration::from_secs(20)).await;
    let told = told(&cluster, &proxy, "app_user");
    let reconcile = |log: &Path| {
        let log = log.to_str().expect("UTF-8");
        pgvalet(
            &proxy.config(),
            &["audit", "reconcile", "--postgres-log", log],
            "",
        )
    };
    let said = reconcile(&told);
    let text = String::from_utf8(said.stdout).expect("UTF-8");
    assert!(said.status.success(), "{text}");
    assert!(text.contains("nothing is left over"), "{text}");

    let empty = proxy.directory().join("empty.json");
    fs::write(&empty, "").expect("written");
    let said = reconcile(&empty);
    assert_eq!(said.status.code(), Some(1));
    let (out, err) = (
        String::from_utf8(said.stdout).expect("UTF-8"),
        String::from_utf8(said.stderr).expect("UTF-8"),
    );
    assert!(!out.contains("nothing is left over"), "{out}");
    assert!(err.contains("nothing to compare"), "{err}");
}

/// What somebody does past pgvalet is found.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_past_pgvalet_is_listed() {
    let cluster = telling().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let mut proxy = Proxy::with_one_database(&cluster.secret("app_user", &password), "")
        .audit("leases = true")
        .start()
        .await;
    let session = proxy.connect("app").await;
    session.value("select 1").await;
    session.close().await;
    let past = format!(
        "host=127.0.0.1 port={} user=app_user password={password} dbname=postgres",
        cluster.port
    );
    let past = connect(&past).await.expect("logs in");
    past.value("select 'past it'").await;
    past.close().await;
    proxy.signal(Signal::SIGTERM);
    proxy.wait_exit(Duration::from_secs(20)).await;
    let told = told(&cluster, &proxy, "app_user");
    let arguments = [
        "audit",
        "reconcile",
        "--postgres-log",
        told.to_str().expect("UTF-8"),
    ];
    let said = pgvalet(&proxy.config(), &arguments, "");
    assert_eq!(said.status.code(), Some(1));
    let said = String::from_utf8(said.stdout).expect("UTF-8");
    assert!(said.contains("has no server.open"), "{said}");
    assert!(said.contains("on no connection of pgvalet's"), "{said}");
}

/// For row-level policies, without a round trip; an honest client's name, whatever it set before.
#[tokio::test(flavor = "multi_thread")]
async fn the_setting_names_the_client() {
    let cluster = Cluster::start().await;
    for mode in ["transaction", "session"] {
        let role = format!("app_{mode}");
        let password = new_password();
        cluster.create_role(&role, &password).await;
        let keys = format!(
            "secret = \"app\"\npool_mode = \"{mode}\"\npool_size = 1\nclient_setting = true"
        );
        let rule = |name: &str, user: &str| {
            format!(
                "name = \"{name}\"\nnetwork = [\"127.0.0.0/8\"]\nusers = [\"{user}\"]\ndatabases = [\"app\"]"
            )
        };
        let proxy = Proxy::builder()
            .secret("app", &cluster.secret(&role, &password))
            .database("app", &keys)
            .client(&rule("orders-api", "a"))
            .client(&rule("it's \\\"billing\\\"", "b"))
            .start()
            .await;
        let shown = "select current_setting('pgvalet.client', true)";
        for _ in 0..2 {
            for (user, name) in [("a", "orders-api"), ("b", "it's \"billing\"")] {
                let session = connect(&proxy.dsn_as(user, "app")).await.expect("let in");
                assert_eq!(session.value(shown).await, name, "{mode}");
                if mode == "transaction" {
                    // It may lie in its transaction, and is itself again in the next.
                    session.value("begin").await;
                    session.value("set pgvalet.client = 'other'").await;
                    assert_eq!(session.value(shown).await, "other");
                    session.value("commit").await;
                    assert_eq!(session.value(shown).await, name, "{mode}");
                }
                session.value("reset all").await;
                assert_eq!(session.value(shown).await, name, "{mode}: after RESET");
                session.close().await;
            }
        }
    }
}
