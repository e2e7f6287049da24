//! Cases by name, each in a pool of its own: in transaction mode, in session
//! mode, and straight at Postgres, where every client has a connection to
//! itself. What a case expects has to hold there, or the case is wrong.

use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};

use super::common::{Cluster, Proxy, new_password};
use super::peer::Peer;

pub type Verdict = Result<(), String>;
type Run = Box<dyn Fn(Place) -> Pin<Box<dyn Future<Output = Verdict> + Send>>>;

pub const TRANSACTION: &str = "transaction";
pub const SESSION: &str = "session";
const DIRECT: &str = "direct";
const MODES: [&str; 3] = [DIRECT, TRANSACTION, SESSION];
/// A case that hangs fails; nothing is timed by this.
const LIMIT: Duration = Duration::from_secs(90);

pub struct Case {
    pub name: String,
    modes: &'static [&'static str],
    keys: String,
    run: Run,
}

/// A case in a pool of one connection, in every mode.
pub fn case<F, R>(name: impl Into<String>, run: F) -> Case
where
    F: Fn(Place) -> R + 'static,
    R: Future<Output = Verdict> + Send + 'static,
{
    Case {
        name: name.into(),
        modes: &MODES,
        keys: "pool_size = 1".to_owned(),
        run: Box::new(move |place| Box::pin(run(place))),
    }
}

/// A case for each name and each of two ways, called with the number of the name
/// and whether it is the second way.
pub fn in_two_ways<R>(
    names: impl IntoIterator<Item = &'static str>,
    ways: [&str; 2],
    run: fn(Place, usize, bool) -> R,
) -> Vec<Case>
where
    R: Future<Output = Verdict> + Send + 'static,
{
    let mut cases = Vec::new();
    for (n, name) in names.into_iter().enumerate() {
        for (second, way) in [false, true].into_iter().zip(ways) {
            let name = format!("{name}, {way}");
            cases.push(case(name, move |place| run(place, n, second)));
        }
    }
    cases
}

impl Case {
    /// The body of its `[database.NAME]`, instead of a pool of one.
    pub fn keys(mut self, keys: &str) -> Self {
        keys.clone_into(&mut self.keys);
        self
    }

    /// Leaves session mode out: two clients have their turns, and session mode
    /// has one at a time.
    pub fn transaction_mode(mut self) -> Self {
        self.modes = &[DIRECT, TRANSACTION];
        self
    }

    /// Leaves Postgres alone out: the case is about what it does not have.
    pub fn pooled(mut self) -> Self {
        self.modes = &[TRANSACTION, SESSION];
        self
    }

    pub fn pooled_by_session(mut self) -> Self {
        self.modes = &[SESSION];
        self
    }

    pub fn pooled_by_transaction(mut self) -> Self {
        self.modes = &[TRANSACTION];
        self
    }
}

pub struct Kind {
    /// Run by the superuser, in the database of all cases.
    pub setup: &'static str,
    pub cases: Vec<Case>,
    /// How many of its cases run at the same time.
    pub beside: usize,
}

struct Scene {
    cluster: Arc<Cluster>,
    proxy: Proxy,
}

/// The place where a case runs.
#[derive(Clone)]
pub struct Place {
    scene: Arc<Scene>,
    database: String,
    number: usize,
    pub mode: &'static str,
}

impl Place {
    /// A client of the identity that most cases have.
    pub async fn peer(&self) -> Result<Peer, String> {
        self.peer_of("alice", &[]).await
    }

    /// A client of the other identity.
    pub async fn stranger(&self) -> Result<Peer, String> {
        self.peer_of("bob", &[]).await
    }

    /// A client that brings settings.
    pub async fn peer_with(&self, parameters: &[(&str, &str)]) -> Result<Peer, String> {
        self.peer_of("alice", parameters).await
    }

    pub async fn peer_of(&self, who: &str, more: &[(&str, &str)]) -> Result<Peer, String> {
        if self.mode == DIRECT {
            return self.direct_with(more).await;
        }
        let mut parameters = vec![("user", who), ("database", &*self.database)];
        parameters.extend(more);
        Peer::login(self.proxy().port, &parameters).await
    }

    /// Straight at Postgres, as the user that pgvalet logs in as.
    pub async fn direct(&self) -> Result<Peer, String> {
        self.direct_with(&[]).await
    }

    pub async fn direct_with(&self, more: &[(&str, &str)]) -> Result<Peer, String> {
        let mut parameters = vec![("user", "app_user"), ("database", "postgres")];
        parameters.extend(more);
        Peer::login(self.cluster().port, &parameters).await
    }

    /// Executes SQL as the superuser.
    pub async fn execute(&self, sql: &str) {
        self.cluster().execute(sql).await;
    }

    pub fn cluster(&self) -> &Cluster {
        &self.scene.cluster
    }

    pub fn proxy(&self) -> &Proxy {
        &self.scene.proxy
    }

    /// A text with `{k}` in it, which becomes a number of its own.
    pub fn own(&self, sql: &str) -> String {
        sql.replace("{k}", &self.number.to_string())
    }

    pub fn is_direct(&self) -> bool {
        self.mode == DIRECT
    }

    pub fn is_transaction(&self) -> bool {
        self.mode == TRANSACTION
    }

    pub fn is_session(&self) -> bool {
        self.mode == SESSION
    }

    /// A word of its own, for objects in the database of all cases. It is the
    /// name of its `[database.NAME]` too.
    pub fn id(&self) -> &str {
        &self.database
    }
}

/// Fails with what was seen, where it is not what was wanted.
pub fn same<T: PartialEq + Debug>(seen: T, wanted: T, what: &str) -> Verdict {
    match seen == wanted {
        true => Ok(()),
        false => Err(format!("{what}: got {seen:?}, wanted {wanted:?}")),
    }
}

/// The number of cases behind one proxy: each has a pool, and a pool logs in at
/// once.
const TOGETHER: usize = 24;

/// Runs every case in every mode it has, on each Postgres at hand, and fails
/// with all that failed. `CASE` in the environment is a part of a case's name:
/// only those run.
pub async fn judge(kind: Kind) {
    let only = std::env::var("CASE").unwrap_or_default();
    let mut places = Vec::new();
    for (n, case) in kind.cases.iter().enumerate() {
        if case.name.contains(&only) {
            places.extend(case.modes.iter().map(|mode| (n, *mode)));
        }
    }
    let mut failed = Vec::new();
    let mut count = 0;
    let mut clusters = Cluster::all();
    while let Some(cluster) = clusters.next().await {
        let password = new_password();
        prepare(&cluster, &password, kind.setup).await;
        let cluster = Arc::new(cluster);
        for places in places.chunks(TOGETHER) {
            count += places.len();
            failed.extend(run(&cluster, &password, &kind, places).await);
        }
    }
    failed.sort();
    let list = failed.join("\n");
    assert!(
        failed.is_empty(),
        "{} of {count} failed\n{list}",
        failed.len()
    );
}

async fn prepare(cluster: &Cluster, password: &str, setup: &str) {
    cluster.create_role("app_user", password).await;
    let roles = "create role boss; grant boss to app_user; \
         grant all on schema public to boss; grant create on database postgres to app_user";
    cluster.execute(roles).await;
    // Of one database, so that every object is there in every mode.
    cluster.trust_in(&["postgres".to_owned()]).await;
    if !setup.is_empty() {
        cluster.execute(setup).await;
    }
}

/// Runs these cases, each in its mode; the failures.
async fn run(
    cluster: &Arc<Cluster>,
    password: &str,
    kind: &Kind,
    places: &[(usize, &'static str)],
) -> Vec<String> {
    let mut proxy = Proxy::builder().secret("app", &cluster.secret("app_user", password));
    let name = |n: usize, mode: &str| format!("c{n}_{mode}");
    let mut names = Vec::new();
    for (n, mode) in places.iter().filter(|(_, mode)| *mode != DIRECT) {
        let body = format!(
            "secret = \"app\"\nallow_cleartext = true\npool_mode = \"{mode}\"\n{}",
            kind.cases[*n].keys
        );
        names.push(name(*n, mode));
        proxy = proxy.database(&name(*n, mode), &body);
    }
    if names.is_empty() {
        // A proxy has to have a database.
        names.push("none".to_owned());
        proxy = proxy.database("none", "secret = \"app\"\nallow_cleartext = true");
    }
    for who in ["alice", "bob"] {
        proxy = proxy.client(&format!(
            "name = \"{who}\"\nnetwork = [\"127.0.0.0/8\"]\nusers = [\"{who}\"]\ndatabases = {names:?}"
        ));
    }
    let scene = Arc::new(Scene {
        cluster: cluster.clone(),
        proxy: proxy.start().await,
    });
    let major = cluster.binaries.major;
    let run = |(n, mode): (usize, &'static str)| {
        let case = &kind.cases[n];
        let place = Place {
            scene: scene.clone(),
            database: name(n, mode),
            number: 100 * n + mode.len(),
            mode,
        };
        async move {
            let began = std::time::Instant::now();
            let run = AssertUnwindSafe((case.run)(place)).catch_unwind();
            let verdict = match tokio::time::timeout(LIMIT, run).await {
                Err(_) => Err(format!("not over within {LIMIT:?}")),
                Ok(Err(panic)) => Err(said(&*panic)),
                Ok(Ok(verdict)) => verdict,
            };
            if std::env::var_os("CASE_TIMES").is_some() {
                eprintln!("{:?} {major} {mode:11} {}", began.elapsed(), case.name);
            }
            let failed = verdict.err();
            let failed = failed.map(|e| format!("{major} {mode:11} {}: {e}", case.name));
            // At once as well: a test that hangs shows none of its own.
            failed.inspect(|failed| eprintln!("{failed}"))
        }
    };
    let failed = stream::iter(places.iter().copied())
        .map(run)
        .buffer_unordered(kind.beside);
    failed.filter_map(async |failed| failed).collect().await
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_default()
}
