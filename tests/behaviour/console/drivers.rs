//! Drivers as they are installed, and what other programs ask for.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{console, proxy};
use crate::common::{repository, venv};
use crate::drivers::{JDBC, installed};

async fn succeed(mut command: Command) {
    let output = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output());
    let output = output.await.expect("no panic").expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&said)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn psycopg_and_asyncpg() {
    let (_cluster, proxy) = proxy("").await;
    let python = repository().join("tests/python");
    let mut pytest = Command::new(venv("pytest"));
    pytest
        .args(["-q", "-x", "-p", "no:cacheprovider"])
        .arg(python.join("test_console.py"))
        .current_dir(python)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env(
            "PGVALET_TEST_DSN_CONSOLE",
            format!("postgresql://dba@127.0.0.1:{}/pgvalet", proxy.port),
        );
    succeed(pytest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jdbc() {
    let Some(jar) = installed("the JDBC driver", &[PathBuf::from(JDBC)]) else {
        return;
    };
    let (_cluster, proxy) = proxy("").await;
    let mut java = Command::new("java");
    java.arg("-XX:TieredStopAtLevel=1")
        .arg("-cp")
        .arg(jar)
        .arg(repository().join("tests/drivers/java/Console.java"))
        .env("PGVALET_TEST_PORT", proxy.port.to_string());
    succeed(java).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pgx() {
    let program = repository().join(".cache/go/pgx");
    let Some(program) = installed("pgx", &[program]) else {
        return;
    };
    let (_cluster, proxy) = proxy("").await;
    let mut pgx = Command::new(program);
    pgx.env(
        "PGVALET_TEST_DSN_CONSOLE",
        format!("postgresql://dba@127.0.0.1:{}/pgbouncer", proxy.port),
    );
    succeed(pgx).await;
}

/// What exporters of metrics, and a desktop program, begin with.
#[tokio::test(flavor = "multi_thread")]
async fn what_other_programs_ask() {
    let (_cluster, proxy) = proxy("").await;
    let console = console(&proxy).await;
    for text in [
        // prometheus-community/pgbouncer_exporter, which sends them as simple queries.
        "SHOW VERSION;",
        "SHOW CONFIG;",
        "SHOW DATABASES;",
        "SHOW LISTS;",
        "SHOW POOLS;",
        "SHOW STATS;",
        // pgAdmin.
        "SET DateStyle=ISO; SET client_min_messages=notice; SELECT set_config('bytea_output','hex',false) FROM pg_settings WHERE name = 'bytea_output'; SET client_encoding='utf-8';",
        "SELECT version()",
        "BEGIN; SELECT 1; ROLLBACK",
        "RESET ALL; DISCARD ALL",
    ] {
        console
            .simple_query(text)
            .await
            .unwrap_or_else(|e| panic!("{text}: {e:?}"));
    }
}
