//! The rotation that docker-compose.yml runs every minute, without containers.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::{Cluster, Proxy, binaries, cli, connect, eventually, new_password, repository};

/// A script of deploy/compose, as an administrator of the cluster and the store.
fn script(name: &str, cluster: &Cluster, proxy: &Proxy) -> String {
    let psql = binaries::client_program("psql");
    let mut path: Vec<_> = [cli::PGVALET.as_ref(), Path::new(psql.get_program())]
        .into_iter()
        .filter_map(|program| Some(program.parent()?.to_owned()))
        .collect();
    path.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    let output = Command::new(repository().join("deploy/compose").join(name))
        .env("PATH", std::env::join_paths(path).expect("paths"))
        .env("PGVALET_CONFIG", proxy.config())
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", cluster.port.to_string())
        .env("PGUSER", "postgres")
        .env("PGDATABASE", "postgres")
        .env("ADMIN_PASSWORD_FILE", cluster.superuser_password_file())
        .env("SECRET", "prod/app")
        .env("ROLE", "app_user")
        .stdin(Stdio::null())
        .output()
        .expect("bash");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{name}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn in_force(proxy: &Proxy) -> serde_json::Value {
    let value = cli::pgvalet_ok(
        &proxy.config(),
        &["secret", "get", "prod/app", "--reveal"],
        "",
    );
    proxy.watch_for(&value);
    serde_json::from_str(&value).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scripts_make_a_role_and_rotate_it() {
    let cluster = Cluster::start().await;
    let mut proxy = Proxy::builder()
        .secret("unrelated", &cluster.secret("nobody", &new_password()))
        .database("app", "secret = \"prod/app\"\nserver_lifetime = \"1s\"")
        .prepare();
    script("init.sh", &cluster, &proxy);
    let mut value = in_force(&proxy);
    assert_eq!(
        (&value["username"], &value["port"]),
        (&"app_user".into(), &cluster.port.into())
    );
    // A second start of the composition changes nothing.
    script("init.sh", &cluster, &proxy);
    assert_eq!(in_force(&proxy), value);

    proxy.run();
    proxy.wait_ready().await;
    let session = proxy.connect("app").await;
    for _ in 0..3 {
        let version = script("rotate.sh", &cluster, &proxy);
        proxy.wait_in_force("prod/app", &version).await;
        let rotated = in_force(&proxy);
        assert_ne!(rotated["password"], value["password"]);
        assert_eq!(rotated["host"], value["host"]);
        let old = format!(
            "host=127.0.0.1 port={} user=app_user dbname=postgres password='{}'",
            cluster.port,
            value["password"]
                .as_str()
                .expect("text")
                .replace('\\', "\\\\")
                .replace('\'', "\\'")
        );
        assert!(
            connect(&old).await.is_err(),
            "the old password is still good"
        );
        value = rotated;
        eventually("the session works", Duration::from_secs(10), || async {
            (session.value("select current_user").await == "app_user").then_some(())
        })
        .await;
    }
    let password = value["password"].as_str().expect("text").to_owned();
    assert!(
        !cluster.log().contains(&password),
        "Postgres logged the password"
    );
    proxy.assert_no_leak().await;
}
