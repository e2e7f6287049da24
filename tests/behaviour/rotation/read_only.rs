//! The windows of a rotation in a store that pgvalet only reads: there is no
//! AWSPENDING, and what was there before is in pgvalet's memory alone.

use std::time::Duration;

use crate::common::ledger::{self, Habit, Ledger};
use crate::common::{Cluster, Proxy, ProxyBuilder, Session, eventually, new_password};

/// More than a login takes on a busy machine, less than one would wait.
const PATIENCE: Duration = Duration::from_secs(30);

const HABITS: [Habit; 4] = [
    Habit::Stays,
    Habit::Stays,
    Habit::ComesAndGoes,
    Habit::ComesAndGoes,
];

/// Where the secrets are, and who writes them there.
pub trait Kept {
    /// Database, pool mode, and how many users its secret takes turns with.
    const SUBJECTS: [(&'static str, &'static str, usize); 4];

    /// The secret of a database.
    fn name_of(&self, subject: &str) -> String;

    fn configure(&self, builder: ProxyBuilder) -> ProxyBuilder;

    fn put(&self, cluster: &Cluster, subject: &str, user: &str, password: &str);

    /// Half of it, as far as the store can have that.
    fn put_half(&self, cluster: &Cluster, subject: &str, user: &str, password: &str);

    /// What `[database.NAME]` needs besides, where the secret has no address.
    fn body(&self, _: &Cluster, _: &str) -> String {
        String::new()
    }

    /// Whether the same content is the same version.
    fn comes_back_as_it_was(&self, _: &str) -> bool {
        true
    }
}

struct Subject {
    name: &'static str,
    users: Vec<String>,
    turn: usize,
    /// Of the user whose turn it is.
    password: String,
    load: Ledger,
}

pub struct World<K> {
    pub kept: K,
    pub cluster: Cluster,
    pub proxy: Proxy,
    admin: Session,
    subjects: Vec<Subject>,
}

impl Subject {
    fn user(&self) -> &str {
        &self.users[self.turn]
    }

    fn next_user(&self) -> &str {
        &self.users[(self.turn + 1) % self.users.len()]
    }
}

impl<K: Kept> World<K> {
    pub async fn new(kept: K) -> Self {
        let cluster = Cluster::start().await;
        ledger::create(&cluster).await;
        let mut builder = kept.configure(Proxy::builder());
        let mut started = Vec::new();
        for (name, mode, count) in K::SUBJECTS {
            let users: Vec<String> = ["", "_clone"][..count]
                .iter()
                .map(|suffix| format!("{name}{suffix}"))
                .collect();
            let password = new_password();
            for user in &users {
                cluster.create_role(user, &password).await;
            }
            kept.put(&cluster, name, &users[0], &password);
            // A short life: new logins all the time, so also in every window.
            let pool_size = if mode == "session" { 6 } else { 3 };
            builder = builder.database(
                name,
                &format!(
                    "secret = \"{}\"\npool_mode = \"{mode}\"\npool_size = {pool_size}\nserver_lifetime = \"1s\"\n{}",
                    kept.name_of(name),
                    kept.body(&cluster, name),
                ),
            );
            started.push((name, users, password));
        }
        let proxy = builder.start().await;
        let admin = cluster.superuser().await;
        let mut subjects = Vec::new();
        for (n, (name, users, password)) in started.into_iter().enumerate() {
            let first = i32::try_from(n).expect("few") * 100;
            let load = Ledger::start(&proxy.dsn(name), name, first, &HABITS);
            subjects.push(Subject {
                name,
                users,
                turn: 0,
                password,
                load,
            });
        }
        Self {
            kept,
            cluster,
            proxy,
            admin,
            subjects,
        }
    }

    /// Every client works on, and there are new logins.
    pub async fn nobody_notices(&self, window: &str) {
        let now = self.admin.value("select clock_timestamp()").await;
        let before: Vec<_> = self.subjects.iter().map(|s| s.load.progress()).collect();
        for (subject, before) in self.subjects.iter().zip(before) {
            let users = subject.users.join("','");
            let logins = format!(
                "select count(*) from pg_stat_activity where usename in ('{users}') and backend_start > '{now}'"
            );
            let what = format!("{window}: clients of {} work on", subject.name);
            eventually(&what, PATIENCE, || async {
                let now = subject.load.progress();
                let worked = now
                    .iter()
                    .zip(&before)
                    .all(|(now, before)| *now >= before + 6);
                let fresh = self.admin.value(&logins).await != "0";
                (subject.load.broken() || worked && fresh).then_some(())
            })
            .await;
            assert!(
                !subject.load.broken(),
                "{window}: {}\n{}",
                subject.name,
                self.proxy.log()
            );
        }
    }

    async fn in_force(&self, subject: usize) -> String {
        let secret = self.kept.name_of(self.subjects[subject].name);
        let status = self.proxy.status().await;
        let secrets = status["secrets"].as_array().expect("a list");
        let found = secrets.iter().find(|s| s["secret"] == secret.as_str());
        found.expect("this secret")["version"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Waits until another version than before is in force.
    async fn wait_for_another(&self, before: &[String]) {
        for (n, before) in before.iter().enumerate() {
            let what = format!("{}: another version is in force", self.subjects[n].name);
            eventually(&what, PATIENCE, || async {
                (self.in_force(n).await != *before).then_some(())
            })
            .await;
        }
    }

    async fn versions(&self) -> Vec<String> {
        let mut found = Vec::new();
        for n in 0..self.subjects.len() {
            found.push(self.in_force(n).await);
        }
        found
    }

    fn put(&self, n: usize, user: &str, password: &str) {
        let subject = &self.subjects[n];
        self.proxy.watch_for(&self.cluster.secret(user, password));
        self.kept.put(&self.cluster, subject.name, user, password);
    }

    /// What the next rotation of each sets.
    fn next(&self) -> Vec<(String, String)> {
        let next = self.subjects.iter();
        next.map(|s| (s.next_user().to_owned(), new_password()))
            .collect()
    }

    fn turned(&mut self, next: &[(String, String)]) {
        for (subject, (_, password)) in self.subjects.iter_mut().zip(next) {
            subject.turn = (subject.turn + 1) % subject.users.len();
            subject.password.clone_from(password);
        }
    }

    async fn alter(&self, next: &[(String, String)]) {
        for (user, password) in next {
            self.cluster.alter_password(user, password).await;
        }
    }

    /// Early, late, in halves, and back.
    pub async fn through_every_window(mut self) {
        self.nobody_notices("before anything").await;

        // The store is first; Postgres follows.
        let (before, next) = (self.versions().await, self.next());
        for (n, (user, password)) in next.iter().enumerate() {
            self.put(n, user, password);
        }
        self.nobody_notices("the store is first").await;
        assert_eq!(self.versions().await, before, "nothing else logs in");
        self.alter(&next).await;
        self.wait_for_another(&before).await;
        self.turned(&next);
        self.nobody_notices("Postgres has followed").await;

        // Postgres is first, and the store late: where there is one user, nobody can
        // log in meanwhile, and those who wait are served when the store has it.
        let (before, next) = (self.versions().await, self.next());
        self.alter(&next).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        for (n, (user, password)) in next.iter().enumerate() {
            self.put(n, user, password);
        }
        self.wait_for_another(&before).await;
        self.turned(&next);
        self.nobody_notices("the store was late").await;

        // Half of the new secret is there: the old one goes on, also for new logins.
        let (before, next) = (self.versions().await, self.next());
        for (subject, (user, password)) in self.subjects.iter().zip(&next) {
            self.kept
                .put_half(&self.cluster, subject.name, user, password);
        }
        self.nobody_notices("half is written").await;
        assert_eq!(self.versions().await, before, "half a secret");
        self.alter(&next).await;
        for (n, (user, password)) in next.iter().enumerate() {
            self.put(n, user, password);
        }
        self.wait_for_another(&before).await;
        let old: Vec<_> = self
            .subjects
            .iter()
            .map(|s| (s.user().to_owned(), s.password.clone()))
            .collect();
        self.turned(&next);
        self.nobody_notices("the other half has come").await;

        // Somebody takes both back; it is the version that it was.
        let now = self.versions().await;
        self.alter(&old).await;
        for (n, (user, password)) in old.iter().enumerate() {
            self.put(n, user, password);
        }
        self.wait_for_another(&now).await;
        // Until the store is looked at, the version before may be in force again, which logs in.
        eventually("each has its version", Duration::from_secs(30), || async {
            let versions = self.versions().await;
            let mut all = self.subjects.iter().zip(versions.iter().zip(&before));
            let as_it_was = |name: &str| self.kept.comes_back_as_it_was(name);
            all.all(|(s, (now, before))| (now == before) == as_it_was(s.name))
                .then_some(())
        })
        .await;
        self.nobody_notices("taken back").await;
        self.end().await;
    }

    /// Many rotations, one after the other, the store first or last.
    pub async fn rotate_often(mut self, times: usize) {
        for n in 0..times {
            let (before, next) = (self.versions().await, self.next());
            if n % 2 == 0 {
                self.alter(&next).await;
            }
            for (n, (user, password)) in next.iter().enumerate() {
                self.put(n, user, password);
            }
            if n % 2 == 1 {
                self.alter(&next).await;
            }
            self.wait_for_another(&before).await;
            self.turned(&next);
        }
        self.nobody_notices("after the last").await;
        self.end().await;
    }

    /// No client failed, and no password stands anywhere.
    pub async fn end(self) {
        for subject in self.subjects {
            let done = subject.load.close(&self.cluster).await;
            let done = done.unwrap_or_else(|wrong| panic!("{wrong}\n{}", self.proxy.log()));
            assert!(done > 100, "{done} transactions prove nothing");
        }
        self.proxy.assert_no_leak().await;
    }
}
