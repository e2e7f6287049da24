//! A store on PostgreSQL: who gets in, several processes at once, a server that goes
//! away, and copies to and fro.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pgvalet::secret::{AWSCURRENT, AWSPREVIOUS, Deletion, VersionId};
use pgvalet::vault::{OpenError, Vault, VaultError};

use crate::cli::pgvalet;
use crate::common::store_server::Server;
use crate::common::{Cluster, eventually};
use crate::place::{Place, shown, text};

const SOON: Duration = Duration::from_secs(20);

async fn create(vault: &Vault, name: &str, value: &str) {
    let created = vault.create(name.into(), None, text(value), None);
    created.await.unwrap_or_else(|e| panic!("{name}: {e}"));
}

async fn value(vault: &Vault, name: &str) -> Result<String, VaultError> {
    let got = vault.get(name.into(), None, None).await?;
    Ok(shown(&got.value).to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_make_a_store_at_once_and_write_at_once() {
    let server = Server::start().await;
    let place = Place::on(&server.url("s"));
    let opened = futures_util::future::join_all((0..6).map(|_| place.open())).await;
    let vaults: Vec<Vault> = opened
        .into_iter()
        .map(|vault| vault.unwrap_or_else(|e| panic!("{e}")))
        .collect();
    create(&vaults[0], "a", "first").await;
    // Each replica makes every version but the last one the previous one: a write that was
    // lost, or one between two others, would leave another count.
    let puts = (0..60).map(|n: usize| {
        let vault = &vaults[n % vaults.len()];
        vault.put("a".into(), text(&format!("v{n}")), vec![], Some(version(n)))
    });
    for put in futures_util::future::join_all(puts).await {
        put.unwrap();
    }
    let described = vaults[1].describe("a".into()).await.unwrap();
    assert_eq!(described.versions.len(), 2, "one current, one previous");
    for label in [AWSCURRENT, AWSPREVIOUS] {
        assert!(described.version_with(label).is_some(), "{label}");
    }
    for n in 0..60 {
        let got = vaults[2]
            .get("a".into(), Some(version(n)), None)
            .await
            .unwrap();
        assert_eq!(shown(&got.value), format!("v{n}"));
    }
    // Of those who make one secret at once, one makes it.
    let creates = vaults
        .iter()
        .map(|vault| vault.create("one".into(), None, text("x"), None));
    let made = futures_util::future::join_all(creates).await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1);
    for refused in made.iter().filter_map(|made| made.as_ref().err()) {
        assert_eq!(refused.aws_type(), "ResourceExistsException", "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_replicas_are_told_also_after_the_server_was_away() {
    let mut server = Server::start().await;
    let place = Place::on(&server.url("s"));
    let (one, two) = (place.open().await.unwrap(), place.open().await.unwrap());
    let mut told = two.changes();
    let watched = told.clone();
    create(&one, "a", "v1").await;
    let changed = tokio::time::timeout(SOON, told.changed()).await;
    changed.expect("told").unwrap();
    assert_eq!(value(&two, "a").await.unwrap(), "v1");

    server.cluster.restart_fast().await;
    eventually("both write again", SOON, || async {
        let put = one.put("a".into(), text("v2"), vec![], None).await;
        put.ok()
    })
    .await;
    assert_eq!(value(&two, "a").await.unwrap(), "v2");
    // Whatever was told before: the next change is told too.
    eventually("a change is told", SOON, || async {
        let mut told = watched.clone();
        told.mark_unchanged();
        let put = one.put("a".into(), text("v3"), vec![], None).await;
        put.ok()?;
        let changed = tokio::time::timeout(Duration::from_secs(1), told.changed()).await;
        changed.ok()?.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_down_is_an_error_of_the_service_and_then_none() {
    let mut server = Server::start().await;
    let place = Place::on(&server.url("s"));
    let vault = place.open().await.unwrap();
    create(&vault, "a", "v1").await;
    server.cluster.stop();
    let began = Instant::now();
    let puts = (0..40).map(|_| vault.put("a".into(), text("lost"), vec![], None));
    for put in futures_util::future::join_all(puts).await {
        let error = put.expect_err("the server is down");
        assert_eq!(error.aws_type(), "InternalServiceError", "{error}");
    }
    assert!(began.elapsed() < SOON, "nobody waits for the others");
    let said = pgvalet(&place.config(), &["secret", "list"], "");
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("cannot be used"), "{said}");
    server.cluster.run().await;
    eventually("it reads again", SOON, || async {
        value(&vault, "a").await.ok()
    })
    .await;
    assert_eq!(value(&vault, "a").await.unwrap(), "v1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_missing_or_another_one_is_refused_and_none_is_made() {
    let server = Server::start().await;
    let place = Place::on(&server.url("s"));
    drop(place.open().await.unwrap());
    let elsewhere = Place::on(&server.url("s"));
    let refused = elsewhere.open().await.err().expect("without the key");
    assert!(
        matches!(refused, OpenError::KeyElsewhere { .. }),
        "{refused}"
    );
    assert!(!elsewhere.key().exists(), "no key is made");

    let other = Place::new();
    drop(other.open().await.unwrap());
    fs::copy(other.key(), elsewhere.key()).unwrap();
    let refused = elsewhere.open().await.err().expect("with another key");
    assert!(
        refused
            .to_string()
            .contains("all replicas need the same key")
    );
    fs::copy(place.key(), elsewhere.key()).unwrap();
    elsewhere.open().await.unwrap_or_else(|e| panic!("{e}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_a_newer_pgvalet_or_of_somebody_else_is_left_alone() {
    let server = Server::start().await;
    let place = Place::on(&server.url("s"));
    let vault = place.open().await.unwrap();
    create(&vault, "a", "v").await;
    let admin = server.cluster.superuser_in("secrets").await;
    let run = |sql: &'static str| admin.batch_execute(sql);
    run("UPDATE s.store SET layout = 99").await.unwrap();
    let refused = place.open().await.err().expect("it is newer");
    assert!(matches!(refused, OpenError::Newer(..)), "{refused}");
    // Who has it open goes on, until the newer one says that it must not.
    assert_eq!(value(&vault, "a").await.unwrap(), "v");
    run("UPDATE s.store SET least = 99").await.unwrap();
    let refused = value(&vault, "a").await.expect_err("it is too new");
    assert!(refused.to_string().contains("newer pgvalet"), "{refused}");

    run("CREATE SCHEMA theirs; CREATE TABLE theirs.store (x int); \
         GRANT USAGE ON SCHEMA theirs TO keeper")
    .await
    .unwrap();
    let theirs = Place::on(&server.url("theirs"));
    let refused = theirs.open().await.err().expect("it is somebody else's");
    assert!(matches!(refused, OpenError::NotAStore(_)), "{refused}");
}

/// Without the right to use the schema, its tables look as if they were not there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_not_use_the_schema_is_told_so() {
    let server = Server::start().await;
    let place = Place::on(&server.url("s"));
    let vault = place.open().await.unwrap();
    create(&vault, "a", "v").await;
    drop(vault);
    let admin = server.cluster.superuser_in("secrets").await;
    admin
        .batch_execute("ALTER SCHEMA s OWNER TO CURRENT_USER; REVOKE ALL ON SCHEMA s FROM keeper")
        .await
        .unwrap();
    let refused = place.open().await.err().expect("no right");
    let said = refused.to_string();
    for part in [
        "role \"keeper\" has no right to use the schema \"s\"",
        "GRANT USAGE ON SCHEMA \"s\" TO \"keeper\"",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("42P01"), "{said}");
    let listed = pgvalet(&place.config(), &["secret", "list"], "");
    let said = String::from_utf8_lossy(&listed.stderr).into_owned();
    assert!(said.contains("has no right to use the schema"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_logs_in_by_peer_by_certificate_and_by_password_file() {
    let server = Server::start().await;
    let place = Place::on(&server.url("s"));
    create(&place.open().await.unwrap(), "a", "v").await;
    let same_key = |url: &str| {
        let other = Place::on(url);
        fs::copy(place.key(), other.key()).unwrap();
        other
    };
    // By certificate: the name in it is that of the role.
    let (certificate, key) = server.cluster.client_certificate();
    let (own_key, directory) = (place.path("client.key"), place.directory());
    fs::copy(key, &own_key).unwrap();
    fs::set_permissions(&own_key, fs::Permissions::from_mode(0o600)).unwrap();
    let admin = server.cluster.superuser_in("secrets").await;
    admin
        .batch_execute("CREATE ROLE by_cert LOGIN IN ROLE keeper")
        .await
        .unwrap();
    server.cluster.permit_certificate("by_cert").await;
    let url = format!(
        "postgres://by_cert@127.0.0.1:{}/secrets?schema=s&sslmode=verify-full&sslrootcert={}&sslcert={}&sslkey={}",
        server.cluster.port,
        server.cluster.ca().display(),
        certificate.display(),
        own_key.display()
    );
    let vault = same_key(&url)
        .open()
        .await
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(value(&vault, "a").await.unwrap(), "v");

    // By the user of the operating system, through a socket.
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid())
        .unwrap()
        .unwrap();
    let role = format!("CREATE ROLE \"{}\" LOGIN IN ROLE keeper", user.name);
    admin.batch_execute(&role).await.unwrap();
    server.cluster.permit_peer(&user.name).await;
    let url = format!(
        "postgres:///secrets?schema=s&host={}&port={}",
        server.cluster.socket_directory().display(),
        server.cluster.port
    );
    let vault = same_key(&url)
        .open()
        .await
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(value(&vault, "a").await.unwrap(), "v");

    // A file that others can read holds no password for long.
    let file = directory.join("exposed");
    fs::write(&file, "*:*:*:keeper:x\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let url = format!(
        "postgres://keeper@127.0.0.1:{}/secrets?schema=s&passfile={}",
        server.cluster.port,
        file.display()
    );
    let refused = same_key(&url).open().await.err().expect("exposed");
    assert!(refused.to_string().contains("chmod 600"), "{refused}");
    // A password in the URL is refused by the configuration.
    let url = format!(
        "postgres://keeper:hunter2@127.0.0.1:{}/secrets",
        server.cluster.port
    );
    let said = pgvalet(&Place::on(&url).config(), &["check", "--offline"], "");
    let said = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    assert!(said.contains("must not hold a password"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_copied_to_a_server_and_back_with_all_that_belongs_to_it() {
    let server = Server::start().await;
    let file = Place::new();
    let vault = file.open().await.unwrap();
    for n in 0..12 {
        create(&vault, &format!("s{n}"), &format!("old {n}")).await;
        let put = vault.put(format!("s{n}"), text(&format!("new {n}")), vec![], None);
        put.await.unwrap();
    }
    let window = Deletion::Window { days: 7 };
    vault.delete("s11".into(), window).await.unwrap();
    drop(vault);
    let policy = file.path("policy.json");
    let document = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}"#;
    fs::write(&policy, document).unwrap();
    let add = ["store", "principal", "add", "ci", "--policy"];
    file.ok(&[&add[..], &[policy.to_str().unwrap()]].concat(), "");

    let there = Place::on(&server.url("s"));
    let copy = |from: &Place, to: &Place| {
        let key = format!("file:{}", to.key().display());
        let arguments = ["store", "copy", "--to", &to.store(), "--to-key", &key];
        pgvalet(&from.config(), &arguments, "")
    };
    let done = copy(&file, &there);
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{done:?}");
    assert!(
        said.contains("12 secrets, 24 versions, 1 principal"),
        "{said}"
    );
    assert_ne!(
        fs::read(file.key()).unwrap(),
        fs::read(there.key()).unwrap()
    );

    let vault = there.open().await.unwrap();
    for n in 0..11 {
        assert_eq!(
            value(&vault, &format!("s{n}")).await.unwrap(),
            format!("new {n}")
        );
    }
    assert!(
        vault
            .describe("s11".into())
            .await
            .unwrap()
            .deleted
            .is_some()
    );
    assert_eq!(vault.principals().await.unwrap().len(), 1);
    // New rows follow the old ones.
    create(&vault, "later", "x").await;

    // A second copy overwrites nothing.
    let again = copy(&file, &there);
    assert_eq!(again.status.code(), Some(1));
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(said.contains("is not empty"), "{said}");

    let back = Place::new();
    assert!(copy(&there, &back).status.success());
    let vault = back.open().await.unwrap();
    assert_eq!(vault.list(true).await.unwrap().len(), 13);
    let previous = vault.get("s3".into(), None, Some(AWSPREVIOUS.into())).await;
    assert_eq!(shown(&previous.unwrap().value), "old 3");
    create(&vault, "last", "x").await;
}

/// Writes version after version until it is told to stop: those that were acknowledged.
async fn write(vault: Vault, count: Arc<AtomicUsize>, stop: Arc<AtomicBool>) -> Vec<usize> {
    let mut acknowledged = Vec::new();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let put = vault.put("a".into(), text(&format!("v{n}")), vec![], Some(version(n)));
        match put.await {
            Ok(_) => {
                acknowledged.push(n);
                count.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                assert_eq!(error.aws_type(), "InternalServiceError", "{error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    acknowledged
}

fn version(n: usize) -> VersionId {
    VersionId::new(format!("{n:032}"))
}

/// A standby takes over in the middle of writes: what was acknowledged is there.
async fn fail_over(round: usize) {
    let mut primary = Cluster::start().await;
    let standby = primary.standby().await;
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", primary.port, standby.port);
    let mut server = Server::of(primary).await;
    let admin = server.cluster.superuser().await;
    for sql in [
        "ALTER SYSTEM SET synchronous_standby_names = '*'",
        "SELECT pg_reload_conf()",
    ] {
        admin.batch_execute(sql).await.unwrap();
    }
    let place = Place::on(&server.url_at(&hosts, "s"));
    let vault = place.open().await.unwrap();
    create(&vault, "a", "v").await;
    let (count, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let writer = tokio::spawn(write(vault.clone(), count.clone(), stop.clone()));
    let written = |more: usize| {
        let count = count.clone();
        let least = count.load(Ordering::Relaxed) + more;
        eventually("it writes", SOON, move || {
            let enough = count.load(Ordering::Relaxed) >= least;
            async move { enough.then_some(()) }
        })
    };
    written(30 + 7 * round).await;
    server.cluster.stop();
    standby.execute("SELECT pg_promote(true)").await;
    written(20).await;
    stop.store(true, Ordering::Relaxed);
    for n in writer.await.unwrap() {
        let got = vault.get("a".into(), Some(version(n)), None).await;
        let got = got.unwrap_or_else(|e| panic!("round {round}, version {n}: {e}"));
        assert_eq!(shown(&got.value), format!("v{n}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_loses_nothing_that_was_acknowledged() {
    fail_over(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes"]
async fn failovers_at_length_lose_nothing_that_was_acknowledged() {
    for round in 1..20 {
        fail_over(round).await;
    }
}
