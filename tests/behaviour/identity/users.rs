//! Several users of one machine, told apart by the kernel: by a unix socket and
//! by TCP over loopback, where applications can speak nothing else.

use std::process::Stdio;

use nix::unistd::{User, geteuid};

use crate::common::binaries::client_program;
use crate::common::{Cluster, Proxy, new_password};

/// Runs psql as a user of this machine; what it said, and whether it got in.
/// Only root can become another, so others test with themselves alone.
fn psql_as(user: &User, dsn: &str) -> (bool, String) {
    let psql = client_program("psql");
    let mut command = std::process::Command::new("setpriv");
    command.args([
        format!("--reuid={}", user.uid),
        format!("--regid={}", user.gid),
        "--clear-groups".to_owned(),
        "--".to_owned(),
    ]);
    if user.uid == geteuid() {
        command = std::process::Command::new(psql.get_program());
    } else {
        command.arg(psql.get_program());
    }
    let output = command
        .args(["-X", "-w", "-Atc", "select current_user", dsn])
        .env("HOME", "/")
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .expect("psql runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    (output.status.success(), said)
}

/// Users to test with: the own one, and others that every system has.
fn users() -> Vec<User> {
    let by_name = |name| User::from_name(name).ok().flatten();
    let me = User::from_uid(geteuid()).ok().flatten().expect("a name");
    let others = ["nobody", "postgres"].into_iter().filter_map(by_name);
    match geteuid().is_root() {
        true => std::iter::once(me).chain(others).collect(),
        false => vec![me],
    }
}

async fn proxy_for(users: &[User], condition: &str, cluster: &Cluster) -> Proxy {
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let mut builder = Proxy::builder()
        .secret("app", &cluster.secret("app_user", &password))
        .listen("socket_mode = \"0666\"")
        .database("somebodys", "secret = \"app\"");
    for user in users {
        let name = &user.name;
        builder = builder
            .database(&format!("of_{name}"), "secret = \"app\"")
            .client(&format!(
                "name = \"{name}\"\n{condition} = \"{name}\"\ndatabases = [\"of_{name}\"]"
            ));
    }
    builder
        .client(&format!(
            "name = \"by-number\"\n{condition} = 4242\ndatabases = [\"somebodys\"]"
        ))
        .start()
        .await
}

/// Everybody gets into the database of their own and into no other.
async fn each_to_their_own(condition: &str, dsn: impl Fn(&Proxy, &str) -> String) {
    let cluster = Cluster::start().await;
    let users = users();
    let proxy = proxy_for(&users, condition, &cluster).await;
    for user in &users {
        for other in &users {
            let database = format!("of_{}", other.name);
            let (works, said) = psql_as(user, &dsn(&proxy, &database));
            assert_eq!(
                works,
                user.uid == other.uid,
                "{} in {database}: {said}",
                user.name
            );
            if works {
                assert_eq!(said, "app_user");
            } else {
                assert!(said.contains("FATAL:  access denied"), "{said}");
            }
        }
        assert!(!psql_as(user, &dsn(&proxy, "somebodys")).0);
    }
    let started = proxy.audit_seen("session.start").await;
    assert_eq!(started.len(), users.len());
    for (record, user) in started.iter().zip(&users) {
        let identity = &record["identity"];
        assert_eq!(identity["method"], condition, "{record}");
        assert_eq!(identity["subject"], user.name.as_str(), "{record}");
        assert_eq!(identity["uid"], user.uid.as_raw(), "{record}");
        // Another user's processes are an open book for root only.
        let exe = identity["exe"].as_str().unwrap_or_default();
        assert!(exe.ends_with("psql"), "{record}");
    }
    let denied = proxy.audit_of("session.deny");
    assert_eq!(denied.len(), users.len() * users.len());
    assert!(
        denied.iter().all(|r| r["identity"]["method"] == condition),
        "{denied:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn users_by_unix_socket() {
    each_to_their_own("unix_user", |proxy, database| proxy.unix_dsn(database)).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn users_by_loopback() {
    each_to_their_own("loopback_user", |proxy, database| proxy.dsn(database)).await;
}

/// The kernel alone says to whom a loopback connection belongs: a program cannot
/// pass for the user whose name it sends.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn the_user_name_that_is_asked_for_is_no_identity() {
    let cluster = Cluster::start().await;
    let other = User::from_uid(nix::unistd::Uid::from_raw(1))
        .ok()
        .flatten()
        .expect("a user with the uid 1");
    let proxy = proxy_for(std::slice::from_ref(&other), "loopback_user", &cluster).await;
    let database = format!("of_{}", other.name);
    let me = User::from_uid(geteuid()).ok().flatten().expect("a name");
    let (works, said) = psql_as(&me, &proxy.dsn_as(&other.name, &database));
    assert!(!works, "{said}");
}
