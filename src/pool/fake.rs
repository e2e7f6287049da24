//! A Postgres that says what a test wants it to, and a store with one secret: for
//! tests and micro-benchmarks.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::audit::Audit;
use crate::config;
use crate::metrics::Metrics;
use crate::pool::Pool;
use crate::secret::{
    AWSCURRENT, Description, Follower, SecretId, SecretValue, Source, StoreError, StoreFuture,
    VersionId, Which,
};
use crate::wire::{Version, login, message};

/// Logs everybody in without a question, and calls every query a success.
#[derive(Default)]
pub struct Server {
    pub port: u16,
    pub logins: AtomicUsize,
    /// Connections that are logged in, and the most at once.
    here: AtomicUsize,
    pub most: AtomicUsize,
    /// Logins that still find room; the others are refused with 53300.
    pub room: AtomicUsize,
    /// Queries get no answer on connections that were there when this was set.
    pub mute: AtomicBool,
    /// Logins are begun, and not gone on with while this is set.
    pub stalled: watch::Sender<bool>,
    /// Moved to hang up on everybody.
    hang_up: watch::Sender<()>,
}

impl Server {
    pub async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = Arc::new(Self {
            port: listener.local_addr().expect("an address").port(),
            room: AtomicUsize::new(usize::MAX),
            ..Self::default()
        });
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = accepting.clone();
                let mut ends = server.hang_up.subscribe();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = server.serve(stream) => {}
                        _ = ends.changed() => {}
                    }
                });
            }
        });
        server
    }

    pub fn hang_up(&self) {
        self.hang_up.send_replace(());
    }

    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let length = stream.read_u32().await?;
        let mut body = vec![0; length as usize - 4];
        stream.read_exact(&mut body).await?;
        if body[..4] != Version::V3_2.0.to_be_bytes() {
            return Ok(()); // a cancel
        }
        let user = body[4..].split(|b| *b == 0).nth(1).unwrap_or_default();
        let user = String::from_utf8_lossy(user).into_owned();
        let pid = self.logins.fetch_add(1, Relaxed) + 1;
        let mut out = Vec::new();
        let one_less = |n: usize| n.checked_sub(1);
        if self.room.fetch_update(Relaxed, Relaxed, one_less).is_err() {
            message::error_response(&mut out, "FATAL", "53300", "no", None);
            return stream.write_all(&out).await;
        }
        let _present = Present::new(self);
        let _ = self.stalled.subscribe().wait_for(|s| !s).await;
        message::authentication_ok(&mut out);
        message::parameter_status(&mut out, "session_authorization", &user);
        login::backend_key_data(&mut out, pid as u32, &[0; 32]);
        message::ready_for_query(&mut out, b'I');
        stream.write_all(&out).await?;
        let new = self.mute.load(Relaxed);
        loop {
            let tag = stream.read_u8().await?;
            let mut body = vec![0; stream.read_u32().await? as usize - 4];
            stream.read_exact(&mut body).await?;
            if tag == b'X' {
                return Ok(());
            }
            if self.mute.load(Relaxed) && !new {
                std::future::pending::<()>().await;
            }
            stream.write_all(&answer(&body)).await?;
        }
    }
}

/// Every query is a success, and has no rows but those of a fence.
fn answer(query: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(query);
    let mut out = Vec::new();
    if let Some((_, fence)) = text.rsplit_once(" AS pgvalet_") {
        let name = format!("pgvalet_{}", fence.trim_end_matches('\0'));
        message::message(&mut out, b'T', |out| {
            out.extend(1u16.to_be_bytes());
            out.extend(name.as_bytes());
            out.extend([0; 19]);
        });
        message::message(&mut out, b'C', |out| out.extend(b"SELECT 1\0"));
    }
    message::ready_for_query(&mut out, b'I');
    out
}

/// A connection that is logged in; gone before its socket is closed.
struct Present<'a>(&'a Server);

impl<'a> Present<'a> {
    fn new(server: &'a Server) -> Self {
        let here = server.here.fetch_add(1, Relaxed) + 1;
        server.most.fetch_max(here, Relaxed);
        Self(server)
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.here.fetch_sub(1, Relaxed);
    }
}

/// One secret, whose AWSCURRENT a test moves.
pub struct Store {
    current: Mutex<(VersionId, String)>,
    changes: watch::Sender<u64>,
}

impl Store {
    pub fn put(&self, version: &str, user: &str, port: u16) {
        *self.current.lock() = content(version, user, port);
        self.changes.send_modify(|n| *n += 1);
    }
}

fn content(version: &str, user: &str, port: u16) -> (VersionId, String) {
    let value = format!(
        r#"{{"username":"{user}","password":"p","host":"127.0.0.1","port":{port},"dbname":"d"}}"#
    );
    (VersionId::new(version), value)
}

fn never<T: Send + 'static>() -> StoreFuture<'static, T> {
    Box::pin(async { Err(StoreError::Internal("not in this test".to_owned())) })
}

impl Source for Store {
    fn get<'a>(&'a self, id: &'a SecretId, which: &'a Which) -> StoreFuture<'a, SecretValue> {
        let (version, value) = self.current.lock().clone();
        let found = *which == Which::current();
        Box::pin(async move {
            if !found {
                return Err(StoreError::NotFound("no such version".to_owned()));
            }
            Ok(SecretValue {
                arn: "arn".into(),
                name: id.as_str().into(),
                version,
                stages: vec![AWSCURRENT.to_owned()],
                created: Some(SystemTime::now()),
                value: Zeroizing::new(value),
            })
        })
    }

    fn describe<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Description> {
        let (version, _) = self.current.lock().clone();
        Box::pin(async move {
            Ok(Description {
                rotation: None,
                arn: "arn".into(),
                name: id.as_str().into(),
                description: None,
                created: None,
                last_changed: None,
                deleted: None,
                versions: [(version, vec![AWSCURRENT.to_owned()])].into(),
            })
        })
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(self.changes.subscribe())
    }

    fn list(&self) -> StoreFuture<'_, Vec<Description>> {
        never()
    }
}

pub struct Setup {
    pub pool: Arc<Pool>,
    pub server: Arc<Server>,
    pub store: Arc<Store>,
    _directory: tempfile::TempDir,
}

/// A pool in front of a server that has logged in once.
pub async fn setup(keys: &str) -> Setup {
    let server = Server::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("audit.jsonl");
    let text = format!(
        "[audit]\npath = {log:?}\n[database.d]\nsecret = \"s\"\nallow_cleartext = true\n{keys}\n\
         [[client]]\nname = \"c\"\nnetwork = [\"127.0.0.0/8\"]\ndatabases = [\"d\"]\n"
    );
    let config = config::parse(&text, "test.toml".as_ref()).expect("a configuration");
    let metrics = Metrics::new();
    let audit = Audit::open(&config.audit, &metrics).expect("a log");
    let store = Arc::new(Store {
        current: Mutex::new(content("one", "u1", server.port)),
        changes: watch::Sender::new(0),
    });
    let secret = SecretId::new("s");
    let refresh = Duration::from_secs(60);
    let follower = Follower::start(secret.clone(), store.clone(), refresh, &metrics);
    let database = config.databases["d"].clone();
    let pool = Pool::start(database, secret, follower, metrics, audit);
    until("the first login", || pool.counts().idle > 0).await;
    Setup {
        pool,
        server,
        store,
        _directory: directory,
    }
}

pub async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(std::time::Instant::now() < deadline, "{what}: not in 10 s");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
