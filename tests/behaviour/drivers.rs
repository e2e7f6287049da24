//! Drivers as they are installed, each in a program of its own kind (see
//! tests/drivers and tests/python), and the files of deploy/, by pytest.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::common::{Cluster, Proxy, new_password, repository, venv};

/// Where Debian puts the driver.
pub const JDBC: &str = "/usr/share/java/postgresql.jar";

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

/// Where a driver is installed. Developers' machines may lack one; there the
/// test says so. On CI that would be a hole.
pub fn installed(driver: &str, places: &[PathBuf]) -> Option<PathBuf> {
    let found = places.iter().find(|place| place.exists());
    if found.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "{driver} is not installed: scripts/setup.sh"
        );
        eprintln!("NOT TESTED: {driver} is not installed (scripts/setup.sh says why)");
    }
    found.cloned()
}

fn drivers(path: &str) -> PathBuf {
    repository().join("tests/drivers").join(path)
}

fn cache(path: &str) -> PathBuf {
    repository().join(".cache").join(path)
}

/// A database in session mode and one in transaction mode, called so. Clients of
/// the former keep their connections, so there are more of them.
pub async fn every_mode() -> (Cluster, Proxy) {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let mut builder = Proxy::builder().secret("app", &cluster.secret("app_user", &password));
    for mode in ["session", "transaction"] {
        let size = if mode == "session" { 12 } else { 4 };
        let body = format!("secret = \"app\"\npool_mode = \"{mode}\"\npool_size = {size}");
        builder = builder.database(mode, &body);
    }
    let proxy = builder.start().await;
    (cluster, proxy)
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
