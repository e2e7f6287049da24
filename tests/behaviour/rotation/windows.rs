//! A rotation stops at each of its steps, as when the rotator is killed, and
//! no client sees anything, neither then nor when it goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::join_all;
use pgvalet::secret::{
    AWSCURRENT, AWSPENDING, AWSPREVIOUS, Rotatable, SecretId, Source, StoreError, VersionId, Which,
};
use pgvalet::vault::EmbeddedStore;
use zeroize::Zeroizing;

use crate::common::ledger::{self, Habit, Ledger};
use crate::common::programs;
use crate::common::{Cluster, Proxy, Session, eventually, new_password};

/// More than a login takes on a busy machine, less than one would wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// A secret that rotates, and the clients of the database that uses it.
struct Subject {
    name: &'static str,
    /// The users of the secret: one, or two in turn.
    users: Vec<String>,
    /// Which of them AWSCURRENT names.
    turn: usize,
    load: Option<Ledger>,
}

struct World {
    cluster: Cluster,
    proxy: Proxy,
    store: Arc<EmbeddedStore>,
    admin: Session,
    /// The rotator's own connection to Postgres.
    rotator: Session,
    /// How long programs work in each window, beside the clients that keep books.
    programs: Option<Duration>,
    runs: AtomicI32,
}

const HABITS: [Habit; 5] = [
    Habit::Stays,
    Habit::Stays,
    Habit::ComesAndGoes,
    Habit::ComesAndGoes,
    Habit::ComesAndGoes,
];

const SUBJECTS: [(&str, &str, usize); 4] = [
    ("single_tx", "transaction", 1),
    ("single_session", "session", 1),
    ("pair_tx", "transaction", 2),
    ("pair_session", "session", 2),
];

impl World {
    async fn new(programs: Option<Duration>) -> (Self, Vec<Subject>) {
        let cluster = Cluster::start().await;
        ledger::create(&cluster).await;
        programs::create(&cluster).await;
        let mut builder = Proxy::builder();
        let mut subjects = Vec::new();
        for (name, mode, count) in SUBJECTS {
            let users: Vec<String> = ["", "_clone"][..count]
                .iter()
                .map(|suffix| format!("{name}{suffix}"))
                .collect();
            let password = new_password();
            for user in &users {
                cluster.create_role(user, &password).await;
            }
            // A short life: new logins all the time, so also in every window.
            let more = if programs.is_some() { 6 } else { 0 };
            let pool_size = more + if mode == "session" { 7 } else { 3 };
            let body = format!(
                "secret = \"{name}\"\npool_mode = \"{mode}\"\npool_size = {pool_size}\nserver_lifetime = \"1s\""
            );
            builder = builder
                .secret(name, &cluster.secret(&users[0], &password))
                .database(name, &body);
            subjects.push(Subject {
                name,
                users,
                turn: 0,
                load: None,
            });
        }
        let proxy = builder.start().await;
        let path = |name: &str| proxy.directory().join(name);
        let (db, key) = (path("store.db"), path("store.key"));
        let store = EmbeddedStore::open(&db, &key).await.expect("the store");
        let admin = cluster.superuser().await;
        let rotator = cluster.superuser().await;
        let world = Self {
            cluster,
            proxy,
            store: Arc::new(store),
            admin,
            rotator,
            programs,
            runs: AtomicI32::new(0),
        };
        for (n, subject) in subjects.iter_mut().enumerate() {
            let dsn = world.proxy.dsn(subject.name);
            let first = i32::try_from(n).expect("few") * 100;
            subject.load = Some(Ledger::start(&dsn, subject.name, first, &HABITS));
        }
        (world, subjects)
    }

    /// The rotation has stopped: every client works on, on connections of which
    /// some at least logged in since.
    async fn nobody_notices(&self, window: &str, subjects: &[Subject]) {
        let now = self.admin.value("select clock_timestamp()").await;
        let before: Vec<_> = subjects.iter().map(Subject::progress).collect();
        for (subject, before) in subjects.iter().zip(before) {
            let worked = || {
                let now = subject.progress();
                now.iter()
                    .zip(&before)
                    .all(|(now, before)| *now >= before + 8)
            };
            let users = subject.users.join("','");
            let logins = format!(
                "select count(*) from pg_stat_activity where usename in ('{users}') and backend_start > '{now}'"
            );
            let what = format!("{window}: clients of {} work on", subject.name);
            eventually(&what, PATIENCE, || async {
                let broken = subject.load.as_ref().is_some_and(Ledger::broken);
                let fresh = self.admin.value(&logins).await != "0";
                (broken || worked() && fresh).then_some(())
            })
            .await;
        }
        let Some(length) = self.programs else { return };
        eprintln!("{window}: {} s of pgbench and psycopg", length.as_secs());
        let ended = join_all(subjects.iter().map(|subject| {
            let run = self.runs.fetch_add(4, Relaxed);
            programs::run(&self.cluster, &self.proxy, subject.name, length, run)
        }))
        .await;
        for ended in ended {
            ended.unwrap_or_else(|wrong| panic!("{window}: {wrong}"));
        }
    }

    async fn put(&self, subject: &Subject, stage: &str, user: &str, password: &str) -> VersionId {
        let value = self.cluster.secret(user, password);
        self.proxy.watch_for(&value);
        let stages = vec![stage.to_owned()];
        let id = subject.id();
        let put = self.store.put(&id, Zeroizing::new(value), stages, None);
        put.await.expect("put")
    }

    /// Makes an AWSPENDING without a value, as RotateSecret does for a function
    /// that is to fill the version later. It is written straight into the store's
    /// file, since the proxy itself would do a rotation that was asked for.
    fn reserve(&self, subject: &Subject) {
        let file = self.proxy.directory().join("store.db");
        let file = rusqlite::Connection::open(file).expect("the store's file");
        file.busy_timeout(PATIENCE).expect("patient");
        let (token, name) = (uuid::Uuid::new_v4(), subject.name);
        let sql = format!(
            "BEGIN IMMEDIATE;
             INSERT INTO version (secret, token, created)
                 SELECT id, '{token}', changed FROM secret WHERE name = '{name}';
             INSERT OR REPLACE INTO label (secret, name, version)
                 SELECT secret, 'AWSPENDING', id FROM version WHERE token = '{token}';
             COMMIT"
        );
        file.execute_batch(&sql).expect("reserved");
    }

    async fn assert_reserved(&self, subject: &Subject) {
        let which = Which::Stage(AWSPENDING.to_owned());
        let value = self.store.get(&subject.id(), &which).await;
        assert!(matches!(value, Err(StoreError::NotFound(_))), "a value");
    }

    async fn alter(&self, user: &str, password: &str) {
        let sql = format!("alter role \"{user}\" password '{password}'");
        self.rotator.batch_execute(&sql).await.expect("altered");
    }

    async fn promote(&self, subject: &Subject, version: &VersionId) {
        let described = self.store.describe(&subject.id()).await.expect("described");
        let from = described.version_with(AWSCURRENT).cloned();
        let to = Some(version.clone());
        let id = subject.id();
        let moved = self.store.move_label(&id, AWSCURRENT, to, from);
        moved.await.expect("promoted");
    }

    async fn strip_pending(&self, subject: &Subject, version: &VersionId) {
        let from = Some(version.clone());
        let id = subject.id();
        let moved = self.store.move_label(&id, AWSPENDING, None, from);
        moved.await.expect("stripped");
    }

    /// The version a pool uses, as the status tells it.
    async fn in_force(&self, subject: &Subject) -> String {
        let status = self.proxy.status().await;
        let secrets = status["secrets"].as_array().expect("a list");
        let secret = secrets.iter().find(|s| s["secret"] == subject.name);
        let version = &secret.expect("this secret")["version"];
        version.as_str().unwrap_or_default().to_owned()
    }

    async fn wait_in_force(&self, subject: &Subject, version: &VersionId) {
        let what = format!("{}: {version} is in force", subject.name);
        eventually(&what, PATIENCE, || async {
            (self.in_force(subject).await == version.as_str()).then_some(())
        })
        .await;
    }
}

impl Subject {
    fn id(&self) -> SecretId {
        SecretId::new(self.name)
    }

    fn progress(&self) -> Vec<i64> {
        self.load.as_ref().map(Ledger::progress).unwrap_or_default()
    }

    /// The user that the next version names.
    fn next_user(&self) -> &str {
        &self.users[(self.turn + 1) % self.users.len()]
    }

    fn is_single(&self) -> bool {
        self.users.len() == 1
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_stops_at_every_step_and_nobody_notices() {
    stopped_at_every_step(None).await;
}

/// `make chaos`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a quarter of an hour"]
async fn stopped_at_every_step_at_length() {
    stopped_at_every_step(Some(Duration::from_secs(60))).await;
}

async fn stopped_at_every_step(programs: Option<Duration>) {
    let (mut world, mut subjects) = World::new(programs).await;
    world.nobody_notices("before anything", &subjects).await;

    // RotateSecret: AWSPENDING has no value.
    for s in &subjects {
        world.reserve(s);
        world.assert_reserved(s).await;
    }
    world.nobody_notices("RotateSecret", &subjects).await;

    // createSecret: AWSPENDING has a value that Postgres does not know.
    let mut pending = Vec::new();
    for s in &subjects {
        let password = new_password();
        let version = world.put(s, AWSPENDING, s.next_user(), &password).await;
        pending.push((version, password));
    }
    world.nobody_notices("createSecret", &subjects).await;

    // setSecret, killed between ALTER and COMMIT.
    world.rotator.batch_execute("begin").await.expect("begun");
    for (s, (_, password)) in subjects.iter().zip(&pending) {
        world.alter(s.next_user(), password).await;
    }
    world.nobody_notices("ALTER before COMMIT", &subjects).await;
    world.rotator = world.cluster.superuser().await; // killed, and another one
    world.nobody_notices("ALTER undone", &subjects).await;

    // setSecret and testSecret are done: only AWSPENDING logs in.
    for (s, (_, password)) in subjects.iter().zip(&pending) {
        world.alter(s.next_user(), password).await;
    }
    world.nobody_notices("setSecret", &subjects).await;
    for (s, (version, _)) in subjects.iter().zip(&pending) {
        if s.is_single() {
            world.wait_in_force(s, version).await;
        } else {
            assert_ne!(world.in_force(s).await, version.as_str(), "too early");
        }
    }

    // finishSecret.
    for (s, (version, _)) in subjects.iter_mut().zip(&pending) {
        world.promote(s, version).await;
        s.turn = (s.turn + 1) % s.users.len();
        world.wait_in_force(s, version).await;
    }
    world.nobody_notices("finishSecret", &subjects).await;

    // The rotation is cancelled at its worst: Postgres has the password of a
    // version that no label leads to.
    let mut stray = Vec::new();
    for s in &subjects {
        let password = new_password();
        let version = world.put(s, AWSPENDING, s.next_user(), &password).await;
        world.strip_pending(s, &version).await;
        world.alter(s.next_user(), &password).await;
        stray.push(version);
    }
    world.nobody_notices("cancelled", &subjects).await;
    for (s, version) in subjects.iter().zip(&stray) {
        if s.is_single() {
            world.wait_in_force(s, version).await;
        }
    }

    // Somebody puts a version by hand into a rotation that has just been asked
    // for, and gives Postgres its password only later: AWSCURRENT does not log
    // in, and there is nothing in AWSPENDING.
    let mut by_hand = Vec::new();
    for s in &subjects {
        world.reserve(s);
        world.assert_reserved(s).await;
        let password = new_password();
        let version = world.put(s, AWSCURRENT, s.next_user(), &password).await;
        by_hand.push((version, password));
    }
    world.nobody_notices("a Put in the middle", &subjects).await;
    for (s, (version, password)) in subjects.iter_mut().zip(&by_hand) {
        let user = s.next_user().to_owned();
        world.alter(&user, password).await;
        world.wait_in_force(s, version).await;
        s.turn = (s.turn + 1) % s.users.len();
    }
    world
        .nobody_notices("the Put has come true", &subjects)
        .await;

    // The DBA takes both back to the version before.
    for (s, (version, _)) in subjects.iter_mut().zip(&by_hand) {
        let described = world.store.describe(&s.id()).await.expect("described");
        let previous = described
            .version_with(AWSPREVIOUS)
            .cloned()
            .expect("a previous one");
        assert_ne!(previous, *version);
        let which = Which::Version(previous.clone());
        let value = world.store.get(&s.id(), &which).await.expect("readable");
        let value: serde_json::Value = serde_json::from_str(&value.value).expect("JSON");
        let text = |name: &str| value[name].as_str().expect("text").to_owned();
        world.promote(s, &previous).await;
        world
            .nobody_notices("the label is taken back", std::slice::from_ref(s))
            .await;
        world.alter(&text("username"), &text("password")).await;
        world.wait_in_force(s, &previous).await;
    }
    world.nobody_notices("taken back", &subjects).await;

    let closed = join_all(subjects.iter_mut().map(|s| {
        let load = s.load.take().expect("running");
        load.close(&world.cluster)
    }))
    .await;
    for closed in closed {
        let transactions = closed.unwrap_or_else(|wrong| panic!("{wrong}"));
        assert!(transactions > 200, "{transactions} prove nothing");
    }
    let drains: Vec<_> = world.proxy.audit();
    // Each drain ends once, and after it began.
    let mut open = Vec::new();
    for record in &drains {
        let version = &record["credential"]["version"];
        let key = (record["database"].clone(), version.clone());
        match record["event"].as_str() {
            Some("drain.start") => open.push(key),
            Some("drain.end") => {
                let at = open.iter().position(|o| *o == key);
                open.remove(at.unwrap_or_else(|| panic!("{record}")));
            }
            _ => {}
        }
    }
    world.proxy.assert_no_leak().await;
}
