//! Drivers as they are installed, and the files of deploy/, by pytest.

use std::process::{Command, Stdio};

use super::common::{Cluster, Proxy, new_password, repository, venv};

fn pytest(file: &str, environment: &[(&str, String)]) {
    let output = Command::new(venv("pytest"))
        .args(["-q", "-x", "-p", "no:cacheprovider"])
        .arg(repository().join("tests/python").join(file))
        .current_dir(repository().join("tests/python"))
        .envs(environment.iter().map(|(k, v)| (k, v)))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .output()
        .expect("pytest starts");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn psycopg_and_asyncpg() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let mut builder = Proxy::builder().secret("app", &cluster.secret("app_user", &password));
    for mode in ["session", "transaction"] {
        let body = format!("secret = \"app\"\npool_mode = \"{mode}\"\npool_size = 4");
        builder = builder.database(mode, &body);
    }
    let proxy = builder.start().await;
    let url = |database: &str| format!("postgresql://anyone@127.0.0.1:{}/{database}", proxy.port);
    pytest(
        "test_drivers.py",
        &[
            ("PGVALET_TEST_DSN_SESSION", url("session")),
            ("PGVALET_TEST_DSN_TRANSACTION", url("transaction")),
            ("PGVALET_TEST_USER", "app_user".to_owned()),
        ],
    );
    proxy.assert_no_leak().await;
}

#[test]
fn the_compose_file_and_what_it_mounts() {
    pytest("test_compose.py", &[]);
}
