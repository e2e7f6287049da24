//! Drivers as they are installed, each in a program of its own kind (see
//! tests/drivers and tests/python), and the files of deploy/, by pytest.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{JDBC, every_mode, installed};
use crate::common::{repository, venv};

fn succeed(command: &mut Command) {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn pytest(file: &str) -> Command {
    let mut command = Command::new(venv("pytest"));
    command
        .args(["-q", "-x", "-p", "no:cacheprovider"])
        .arg(repository().join("tests/python").join(file))
        .current_dir(repository().join("tests/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn drivers(path: &str) -> PathBuf {
    repository().join("tests/drivers").join(path)
}

fn cache(path: &str) -> PathBuf {
    repository().join(".cache").join(path)
}

/// Runs a program against both.
async fn in_every_mode(command: &mut Command) {
    let (_cluster, proxy) = every_mode().await;
    let url = |database: &str| format!("postgresql://anyone@127.0.0.1:{}/{database}", proxy.port);
    command
        .env("PGVALET_TEST_DSN_SESSION", url("session"))
        .env("PGVALET_TEST_DSN_TRANSACTION", url("transaction"))
        .env("PGVALET_TEST_PORT", proxy.port.to_string())
        .env("PGVALET_TEST_USER", "app_user");
    succeed(command);
    proxy.assert_no_leak().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn psycopg_and_asyncpg() {
    in_every_mode(&mut pytest("test_drivers.py")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_postgres() {
    let modules = cache("node/node_modules");
    if installed("node-postgres", &[modules.join("pg")]).is_some() {
        in_every_mode(
            Command::new("node")
                .arg(drivers("node/drivers.mjs"))
                .env("PGVALET_TEST_NODE_MODULES", modules),
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jdbc() {
    if let Some(jar) = installed("the JDBC driver", &[PathBuf::from(JDBC)]) {
        // Compiled in memory: java runs a single source file as it is.
        in_every_mode(
            Command::new("java")
                .arg("-XX:TieredStopAtLevel=1")
                .arg("-cp")
                .arg(jar)
                .arg(drivers("java/Drivers.java")),
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pgx() {
    if let Some(program) = installed("pgx", &[cache("go/pgx")]) {
        in_every_mode(&mut Command::new(program)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlx() {
    if let Some(program) = installed("sqlx", &[cache("sqlx/debug/pgvalet-test-sqlx")]) {
        in_every_mode(&mut Command::new(program)).await;
    }
}

#[test]
fn the_compose_file_and_what_it_mounts() {
    succeed(&mut pytest("test_compose.py"));
}

/// The programs above are built by the set-up, so a change must build them anew.
#[test]
fn the_programs_are_built_from_what_is_here() {
    let built = |program: &Path, source: &Path| {
        let time = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
        program.exists() && time(program) < time(source)
    };
    for (program, source) in [
        (cache("go/pgx"), drivers("go/main.go")),
        (
            cache("sqlx/debug/pgvalet-test-sqlx"),
            drivers("sqlx/src/main.rs"),
        ),
    ] {
        assert!(
            !built(&program, &source),
            "{} is older than its source: scripts/setup.sh",
            program.display()
        );
    }
}
