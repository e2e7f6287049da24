//! Secrets in Vault: the same windows as those of files; dynamic users that come and
//! go; a Vault that is sealed, and tokens that end.

use std::fs;
use std::time::Duration;

use tempfile::TempDir;

use super::read_only::{Kept, World};
use crate::common::ledger::{self, Habit, Ledger};
use crate::common::vault::Vault;
use crate::common::{Cluster, Proxy, ProxyBuilder, cli, connect, eventually, new_password};

const PATIENCE: Duration = Duration::from_secs(30);

struct InVault {
    vault: Vault,
    files: TempDir,
}

impl InVault {
    async fn new(vault: Vault) -> Self {
        let files = TempDir::with_prefix("pgvalet-vault-").expect("a directory");
        let made = Self { vault, files };
        made.write("token", &made.vault.root_token());
        made.write("jwt", "a.service.account\n");
        made.write("secret-id", "the-secret-id\n");
        made
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.files.path().join(name), text).expect("written");
    }

    fn store(&self, auth: &str) -> String {
        let auth = auth.replace('@', &self.files.path().display().to_string());
        format!(
            "kind = \"vault\"\nendpoint_url = \"{}\"\nkey_file = \"{}/key\"\nrefresh = \"1s\"\n{auth}",
            self.vault.url,
            self.files.path().display()
        )
    }
}

const BY_TOKEN: &str = "token_file = \"@/token\"";
const BY_KUBERNETES: &str =
    "auth = \"kubernetes\"\nauth_role = \"pgvalet\"\ntoken_file = \"@/jwt\"";
const BY_APPROLE: &str =
    "auth = \"approle\"\nauth_role = \"the-role\"\nsecret_id_file = \"@/secret-id\"";

/// Key/value versions, and static roles, which have no half and name one user.
impl Kept for InVault {
    const SUBJECTS: [(&'static str, &'static str, usize); 4] = [
        ("kv_one", "transaction", 1),
        ("kv_two", "session", 2),
        ("role_one", "transaction", 1),
        ("role_two", "session", 2),
    ];

    fn name_of(&self, subject: &str) -> String {
        match subject.starts_with("kv") {
            true => format!("secret/data/prod/{subject}"),
            false => format!("database/static-creds/{subject}"),
        }
    }

    fn configure(&self, builder: ProxyBuilder) -> ProxyBuilder {
        builder.store(&self.store(BY_TOKEN))
    }

    fn body(&self, cluster: &Cluster, subject: &str) -> String {
        match subject.starts_with("kv") {
            true => String::new(),
            false => here(cluster),
        }
    }

    fn put(&self, cluster: &Cluster, subject: &str, user: &str, password: &str) {
        let name = self.name_of(subject);
        match subject.starts_with("kv") {
            true => self.vault.put_kv(&name, &cluster.secret(user, password)),
            false => self.vault.set_static(&name, user, password),
        }
    }

    fn put_half(&self, _: &Cluster, subject: &str, user: &str, _: &str) {
        if subject.starts_with("kv") {
            let half = serde_json::json!({"username": user}).to_string();
            self.vault.put_kv(&self.name_of(subject), &half);
        }
    }

    /// A number is never used again.
    fn comes_back_as_it_was(&self, subject: &str) -> bool {
        !subject.starts_with("kv")
    }
}

/// A role has no address.
fn here(cluster: &Cluster) -> String {
    format!(
        "host = \"127.0.0.1\"\nport = {}\ndbname = \"postgres\"",
        cluster.port
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn vault_is_early_late_and_in_halves_and_nobody_notices() {
    let kept = InVault::new(Vault::start(None).await).await;
    World::new(kept).await.through_every_window().await;
}

/// A role is rotated while Vault is sealed, and Vault is back some time later.
#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_vault_takes_nothing_away() {
    let kept = InVault::new(Vault::start(None).await).await;
    let world = World::new(kept).await;
    world.kept.vault.seal(true);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    world.nobody_notices("sealed").await;
    world.kept.vault.seal(false);
    world.nobody_notices("unsealed").await;
    world.rotate_often(3).await;
}

struct Dynamic {
    kept: InVault,
    cluster: Cluster,
    proxy: Proxy,
}

impl Dynamic {
    async fn new(auth: &str, ttl: u64, at_most: u64, prepare: impl FnOnce(&Vault)) -> Self {
        let cluster = Cluster::start().await;
        ledger::create(&cluster).await;
        let vault = Vault::start(Some(cluster.superuser().await)).await;
        let (ttl, at_most) = (Duration::from_secs(ttl), Duration::from_secs(at_most));
        vault.set_dynamic("database/creds/orders", ttl, at_most);
        prepare(&vault);
        let kept = InVault::new(vault).await;
        let body = format!(
            "secret = \"database/creds/orders\"\n{}\npool_size = 4",
            here(&cluster)
        );
        let proxy = Proxy::builder()
            .store(&kept.store(auth))
            .database("orders", &body)
            .start()
            .await;
        Self {
            kept,
            cluster,
            proxy,
        }
    }

    fn load(&self) -> Ledger {
        let habits = [Habit::Stays, Habit::ComesAndGoes, Habit::ComesAndGoes];
        Ledger::start(&self.proxy.dsn("orders"), "orders", 0, &habits)
    }

    /// Waits until Vault has made so many users, and the last one is in use.
    async fn wait_for_users(&self, count: u64) {
        let admin = self.cluster.superuser().await;
        eventually("new users of Vault", Duration::from_secs(60), || async {
            let made = self.kept.vault.made();
            let last =
                format!("select count(*) from pg_stat_activity where usename = 'v-orders-{made}'");
            (made >= count && admin.value(&last).await != "0").then_some(())
        })
        .await;
    }

    async fn end(self, load: Ledger) {
        let done = load.close(&self.cluster).await;
        let done = done.unwrap_or_else(|wrong| panic!("{wrong}\n{}", self.proxy.log()));
        assert!(done > 100, "{done} transactions prove nothing");
    }
}

/// Leases are renewed up to their longest time; then a new user takes over, before
/// the old one is dropped with its sessions.
#[tokio::test(flavor = "multi_thread")]
async fn a_dynamic_user_is_replaced_before_its_lease_ends() {
    let world = Dynamic::new(BY_TOKEN, 4, 10, |_| {}).await;
    let load = world.load();
    world.wait_for_users(4).await;
    assert!(world.kept.vault.asked("PUT sys/leases/renew") >= 3);
    eventually("each change is a drain", PATIENCE, || async {
        (world.proxy.audit_of("drain.start").len() >= 3).then_some(())
    })
    .await;
    world.end(load).await;
}

/// The token ends, and with it what it has made: another login makes new users first.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_is_replaced_with_its_users() {
    let world = Dynamic::new(BY_KUBERNETES, 3600, 3600, |vault| {
        vault.set_token_ttl(Duration::from_secs(8));
    })
    .await;
    let load = world.load();
    world.wait_for_users(4).await;
    let logins = world.kept.vault.logins();
    assert!(logins.len() >= 4, "{logins:?}");
    assert_eq!(logins[0]["body"]["jwt"], "a.service.account");
    world.end(load).await;
}

/// Somebody revokes the lease: those who were connected lose their connections, as
/// they would without pgvalet, and the next ones get another user at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_lease_is_noticed_at_the_next_login() {
    let world = Dynamic::new(BY_TOKEN, 3600, 7200, |_| {}).await;
    let value = world
        .proxy
        .connect("orders")
        .await
        .value("select current_user")
        .await;
    assert_eq!(value, "v-orders-1");
    world.kept.vault.revoke_leases();
    let admin = world.cluster.superuser().await;
    eventually("the user's sessions end", PATIENCE, || async {
        let left = admin
            .value("select count(*) from pg_stat_activity where usename = 'v-orders-1'")
            .await;
        (left == "0").then_some(())
    })
    .await;
    let value = world
        .proxy
        .connect("orders")
        .await
        .value("select current_user")
        .await;
    assert_eq!(value, "v-orders-2");
}

/// A password that changes before its time is asked for as soon as a login fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_static_role_is_asked_for_again_at_once() {
    let cluster = Cluster::start().await;
    let (old, new) = (new_password(), new_password());
    cluster.create_role("app_user", &old).await;
    let kept = InVault::new(Vault::start(None).await).await;
    let path = "team/db/static-creds/app";
    kept.vault.set_static(path, "app_user", &old);
    kept.vault.demand_namespace("admin/team");
    let store = kept
        .store(BY_APPROLE)
        .replace("refresh = \"1s\"", "refresh = \"1h\"");
    let proxy = Proxy::builder()
        .store(&format!("{store}\nnamespace = \"admin/team\""))
        .database(
            "app",
            &format!(
                "secret = \"{path}\"\nserver_lifetime = \"1s\"\n{}",
                here(&cluster)
            ),
        )
        .start()
        .await;
    proxy.connect("app").await.value("select 1").await;
    // Vault's `ttl` says another 3000 seconds.
    cluster.alter_password("app_user", &new).await;
    kept.vault.set_static(path, "app_user", &new);
    eventually("the new password is adopted", PATIENCE, || async {
        proxy.connect("app").await.value("select 1").await;
        (proxy.audit_of("secret.adopt").len() > 1).then_some(())
    })
    .await;
    let arn = proxy
        .audit_seen("secret.adopt")
        .await
        .last()
        .expect("adopted")["credential"]["arn"]
        .clone();
    assert_eq!(arn, format!("{}/v1/{path}", kept.vault.url));
    // A token that was revoked is replaced by another login.
    kept.vault.revoke_tokens();
    let said = cli::pgvalet(&proxy.config(), &["check"], "");
    assert!(said.status.success(), "{said:?}");
    for (args, what) in [
        (&["rotate", path][..], "can neither change nor rotate them"),
        (
            &["secret", "list"][..],
            "pgvalet does not list what is in Vault",
        ),
        (
            &["secret", "get", "orders"][..],
            "is no path of a credential in Vault",
        ),
        (
            &["secret", "get", "db/static-creds/none"][..],
            "unknown role",
        ),
        (
            &["secret", "delete", path][..],
            "cannot create or delete secrets in Vault",
        ),
    ] {
        let done = cli::pgvalet(&proxy.config(), args, "");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(
            !done.status.success() && said.contains(what),
            "{args:?}: {said}"
        );
    }
}

/// A secret that is made again begins at version 1, and is another version.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_comes_again_is_another_version() {
    let cluster = Cluster::start().await;
    let (old, new) = (new_password(), new_password());
    cluster.create_role("app_user", &old).await;
    let kept = InVault::new(Vault::start(None).await).await;
    kept.vault
        .put_kv("secret/data/app", &cluster.secret("app_user", &old));
    let proxy = Proxy::builder()
        .store(&kept.store(BY_TOKEN))
        .database("app", "secret = \"secret/data/app\"")
        .start()
        .await;
    let described = cli::pgvalet_ok(
        &proxy.config(),
        &["secret", "describe", "secret/data/app"],
        "",
    );
    assert!(described.contains("1@2026-01-01T00:00:01"), "{described}");
    kept.vault.forget_kv("secret/data/app");
    cluster.alter_password("app_user", &new).await;
    kept.vault
        .put_kv("secret/data/app", &cluster.secret("app_user", &new));
    proxy
        .wait_in_force("secret/data/app", "1@2026-01-01T00:00:02.000000001Z")
        .await;
    kept.vault.put_kv("secret/data/app", "{}");
    let previous = cli::pgvalet_ok(
        &proxy.config(),
        &[
            "secret",
            "get",
            "secret/data/app",
            "--stage",
            "AWSPREVIOUS",
            "--reveal",
        ],
        "",
    );
    assert!(previous.contains(&new));
    proxy.connect("app").await.value("select 1").await;
}

/// `vault kv delete` takes the newest version back: the one before it has the label, also for a
/// proxy that has never seen another.
#[tokio::test(flavor = "multi_thread")]
async fn a_newest_version_that_was_deleted_gives_its_place_to_the_one_before() {
    let cluster = Cluster::start().await;
    let (old, new) = (new_password(), new_password());
    cluster.create_role("app_user", &old).await;
    let kept = InVault::new(Vault::start(None).await).await;
    for password in [&old, &new] {
        let value = cluster.secret("app_user", password);
        kept.vault.put_kv("secret/data/app", &value);
    }
    kept.vault.delete_newest("secret/data/app");
    let proxy = Proxy::builder()
        .store(&kept.store(BY_TOKEN))
        .database("app", "secret = \"secret/data/app\"")
        .start()
        .await;
    let session = connect(&proxy.dsn("app")).await.expect("let in");
    assert_eq!(session.value("select 1").await, "1");
    kept.vault.delete_newest("secret/data/app");
    let gone = cli::pgvalet(&proxy.config(), &["secret", "get", "secret/data/app"], "");
    assert!(!gone.status.success());
}

/// A token that Vault ends unless somebody renews it, and nobody else does.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_a_file_is_renewed() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let kept = InVault::new(Vault::start(None).await).await;
    kept.vault
        .put_kv("secret/data/app", &cluster.secret("app_user", &password));
    kept.write("token", &kept.vault.token_for(Duration::from_secs(4)));
    let proxy = Proxy::builder()
        .store(&kept.store(BY_TOKEN))
        .database("app", "secret = \"secret/data/app\"")
        .start()
        .await;
    eventually("three renewals", Duration::from_secs(30), || async {
        (kept.vault.asked("renew-self") >= 3).then_some(())
    })
    .await;
    // By now it would have ended without them.
    let found = cli::pgvalet_ok(&proxy.config(), &["secret", "get", "secret/data/app"], "");
    assert!(!found.is_empty());
}
