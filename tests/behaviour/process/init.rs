//! `pgvalet init`: what it writes is a proxy that works.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::common::{Cluster, Proxy, connect, new_password};

/// Runs `pgvalet init` for `pgvalet.toml` in a directory, and gives what it says.
fn init(directory: &Path, from: &str, password: &str) -> String {
    let output = Command::new(crate::common::cli::PGVALET)
        .args(["init", "--from", from, "--config"])
        .arg(directory.join("pgvalet.toml"))
        .env("PGPASSWORD", password)
        .env_remove("PGVALET_CONFIG")
        .current_dir("/")
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{err}");
    assert!(!said.contains(password) && !err.contains(password));
    said
}

/// The proxy that was written, on ports that are free.
async fn started(directory: TempDir, password: &str) -> Proxy {
    let free = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("bound").port()
    };
    let (port, admin_port) = (free(), free());
    let file = directory.path().join("pgvalet.toml");
    let text = fs::read_to_string(&file).expect("written");
    assert!(!text.contains(password), "{text}");
    let moved = text.replace("127.0.0.1:6432", &format!("127.0.0.1:{port}"));
    assert_ne!(moved, text);
    let admin = format!("\n[admin]\naddress = \"127.0.0.1:{admin_port}\"\n");
    fs::write(&file, moved + &admin).expect("written");
    let mut proxy = Proxy::new(directory, port, admin_port, Vec::new());
    proxy.run();
    proxy.wait_ready().await;
    proxy
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_postgres_becomes_a_configuration_that_works() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app", &password).await;
    cluster.execute("CREATE DATABASE shop").await;
    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("postgres://app@127.0.0.1:{}", cluster.port);
    let said = init(directory.path(), &url, &password);
    assert!(said.contains("ok       shop: secret \"app\""), "{said}");
    assert!(said.contains("\nNext:\n  pgvalet run --config "), "{said}");
    let proxy = started(directory, &password).await;
    let session = connect(&proxy.dsn("shop")).await.expect("served");
    let who = session
        .value("SELECT current_user || ' in ' || current_database()")
        .await;
    assert_eq!(who, "app in shop");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_pgbouncer_become_a_configuration_that_works() {
    let cluster = Cluster::start().await;
    let (password, other) = (new_password(), new_password());
    cluster.create_role("api", &password).await;
    cluster.create_role("owner", &other).await;
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let host = format!("host=127.0.0.1 port={}", cluster.port);
    let ini = format!(
        "[databases]\nplain = {host} dbname=postgres\nfixed = {host} dbname=postgres user=owner password='{other}'\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = 6432\nauth_type = md5\nauth_file = users.txt\n\
         admin_users = dba\npool_mode = transaction\n"
    );
    fs::write(at("pgbouncer.ini"), ini).expect("written");
    fs::write(at("users.txt"), format!("\"api\" \"{password}\"\n")).expect("written");
    let from = at("pgbouncer.ini");
    let said = init(directory.path(), from.to_str().expect("UTF-8"), &password);
    assert!(
        said.contains("- auth_type is left out: clients have no password"),
        "{said}"
    );
    fs::remove_file(at("users.txt")).expect("removed");
    fs::remove_file(&from).expect("removed");
    let proxy = started(directory, &password).await;
    for (database, user) in [("plain", "api"), ("fixed", "owner")] {
        let session = connect(&proxy.dsn_as("api", database))
            .await
            .expect("served");
        assert_eq!(
            session.value("SELECT current_user").await,
            user,
            "{database}"
        );
        assert!(connect(&proxy.dsn_as("nobody", database)).await.is_err());
    }
    let console = connect(&proxy.dsn_as("dba", "pgbouncer")).await;
    let rows = console
        .expect("the console")
        .simple_query("SHOW DATABASES")
        .await;
    assert!(rows.expect("shown").len() > 2);
}
