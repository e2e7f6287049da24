//! `pgvalet demo`: a throwaway Postgres, a store, the proxy, clients without
//! passwords, and a rotation every few seconds. All of it is real, and all of it is
//! removed afterwards.

pub(crate) mod binaries;
pub(crate) mod cluster;
mod journal;
mod ledger;
mod proxy;
mod rotation;
mod sample;
pub(crate) mod scratch;
mod summary;
mod tally;
mod view;
mod workload;

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::config::ConfigErrors;
use crate::secret::{SecretId, StoreError, Which};
use crate::server::{Proxy, ServerError};
use binaries::Binaries;
use cluster::{Cluster, DATABASE};
use journal::Journal;
use ledger::Ledger;
use proxy::{Endpoints, SECRET};
use rotation::Rotator;
use scratch::Scratch;
use tally::Tally;
use view::{Scene, View};

#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  pgvalet demo\n  pgvalet demo --seconds 12 --plain")]
pub struct DemoArgs {
    /// How long the clients work
    #[arg(long, value_name = "N", default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(4..=3600))]
    pub seconds: u64,
    /// Lines instead of a live view, as without a terminal
    #[arg(long)]
    pub plain: bool,
    /// Keep the directory with the store, the audit log and Postgres's log
    #[arg(long)]
    pub keep: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(
        "the demo found no Postgres server. This installs one: {}\n\
         Or name the directory of initdb and postgres in PGVALET_PG_BIN",
        binaries::how_to_install()
    )]
    NoPostgres,
    #[error(
        "Postgres does not run as root, and there is neither a user postgres nor nobody to run it \
         as: start the demo as another user"
    )]
    NoUser,
    #[error("the system gave no random bytes for a password")]
    NoRandomness,
    #[error("cannot {doing} {path}: {source}", path = path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("no free port on 127.0.0.1: {0}")]
    Port(io::Error),
    #[error("the demo's Postgres did not start: {0}")]
    Postgres(String),
    #[error("the demo's Postgres refused: {}", workload::describe(.0))]
    Sql(#[from] tokio_postgres::Error),
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    #[error("the demo's store: {0}")]
    Store(#[from] StoreError),
    #[error("the demo's proxy did not start: {0}")]
    Proxy(#[from] ServerError),
    #[error("cannot listen to signals: {0}")]
    Signals(io::Error),
    #[error("interrupted before anything was shown")]
    Interrupted,
    /// Everything ran, and something went wrong that must not.
    #[error("the demo failed: {0}")]
    Failed(String),
}

impl DemoError {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }
}

/// Everything that runs. The fields are dropped in their order: the proxy before its Postgres,
/// and the directory of both after them.
struct Stage {
    proxy: Arc<Proxy>,
    cluster: Cluster,
    endpoints: Endpoints,
    scratch: Scratch,
}

/// Runs the demo for as long as asked for, and prints how it went.
///
/// # Errors
/// [`DemoError`]: it could not start, no rotation happened, or a client saw an
/// error.
pub async fn run(args: DemoArgs) -> Result<(), DemoError> {
    let mut signals = Signals::new()?;
    let stage = tokio::select! {
        stage = Stage::set(args.keep) => stage?,
        () = signals.received() => return Err(DemoError::Interrupted),
    };
    stage.play(&args, &mut signals).await
}

impl Stage {
    async fn set(keep: bool) -> Result<Self, DemoError> {
        let began = Instant::now();
        let binaries = Binaries::find()?;
        let scratch = Scratch::new(keep)?;
        let cluster = Cluster::start(&binaries, scratch.path()).await?;
        let endpoints = Endpoints::choose(scratch.path())?;
        let config = proxy::config(scratch.path(), &endpoints)?;
        proxy::make_secret(&cluster, &config).await?;
        let proxy = Proxy::start(config).await?;
        view::say(&format!(
            "pgvalet demo: PostgreSQL {}, a store and the proxy, ready in {:.1} s",
            cluster.version,
            began.elapsed().as_secs_f64()
        ));
        Ok(Self {
            proxy: Arc::new(proxy),
            cluster,
            endpoints,
            scratch,
        })
    }

    async fn play(self, args: &DemoArgs, signals: &mut Signals) -> Result<(), DemoError> {
        let length = Duration::from_secs(args.seconds);
        let admin = self.cluster.superuser(DATABASE).await?;
        let current = Which::current();
        let secret = SecretId::new(SECRET);
        let first = self
            .proxy
            .stores()
            .named(None)?
            .get(&secret, &current)
            .await?;
        let journal = Arc::new(Journal::default());
        journal.write().versions.push(first.version.to_string());
        drop(first);

        let tally = Arc::new(Tally::new());
        let clients = workload::start(&self.endpoints, &tally);
        let rotator = Rotator {
            proxy: self.proxy.clone(),
            admin,
            postgres_port: self.cluster.port,
            tally: tally.clone(),
            journal: journal.clone(),
        };
        let mut others = JoinSet::new();
        others.spawn(rotator.run(length));
        others.spawn(rotation::watch_drains(
            self.proxy.clone(),
            tally.clone(),
            journal.clone(),
        ));

        let mut scene = Scene::new(length, &self.endpoints, &journal, &tally, &self.proxy);
        let mut view = View::open(args.plain);
        let mut frames = interval(view::INTERVAL);
        frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
        // A rotation that is under way is completed.
        while tally.elapsed() < length || journal.read().is_rotating() {
            tokio::select! {
                _ = frames.tick() => {
                    scene.look();
                    view.show(&scene);
                }
                () = signals.received() => break,
            }
        }
        others.shutdown().await;
        tally.end();
        let worked = tally.elapsed();
        leave(clients, &tally).await;
        view.close();
        self.proxy.stop().await;
        self.sum_up(worked, &journal, &tally).await
    }

    /// Prints how it went.
    async fn sum_up(
        &self,
        worked: Duration,
        journal: &Journal,
        tally: &Tally,
    ) -> Result<(), DemoError> {
        let ledger = Ledger::read(&self.cluster.superuser(DATABASE).await?).await?;
        let verdict = summary::Summary {
            worked,
            entries: journal.read().clone(),
            tally,
            ledger,
            audit: &self.endpoints.audit,
            kept: self.scratch.kept(),
        };
        view::say(&verdict.text());
        verdict.verdict()
    }
}

/// Lets clients finish the transaction that they are in, and ends those that do not.
async fn leave(mut clients: JoinSet<()>, tally: &Tally) {
    let left = async { while clients.join_next().await.is_some() {} };
    if timeout(Duration::from_secs(10), left).await.is_err() {
        tally.error("the end", "clients did not finish within 10 s");
    }
    clients.shutdown().await;
}

/// Ctrl-C, `kill`, and the terminal's window closing.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> Result<Self, DemoError> {
        let on = |kind| signal(kind).map_err(DemoError::Signals);
        Ok(Self([
            on(SignalKind::interrupt())?,
            on(SignalKind::terminate())?,
            on(SignalKind::hangup())?,
        ]))
    }

    async fn received(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, DemoError> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(DemoError::Port)
}
