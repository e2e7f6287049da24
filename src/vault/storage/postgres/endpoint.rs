//! Connecting to the server of a store.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::poll_fn;
use parking_lot::Mutex;
use postgres_protocol::escape::{escape_identifier, escape_literal};
use rustls::ClientConfig;
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::timeout;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::{AsyncMessage, Client, Config, Notification};

use super::reactor::Reactor;
use super::tls::Tls;
use super::url::ServerUrl;
use super::{ServerError, password};
use crate::net::tls::for_upstream;

/// How long connecting and logging in may take together.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a failure to connect answers those who ask next: a server that is down must not
/// keep each of them waiting.
const REMEMBERED: Duration = Duration::from_millis(500);
/// How long a transaction waits for another process to finish its own.
const LOCK_TIMEOUT: &str = "5s";
/// How long a process that stopped in the middle of a transaction keeps others waiting.
const IDLE_TIMEOUT: &str = "30s";

/// A store's server, as this process reaches it.
pub struct Endpoint {
    pub url: ServerUrl,
    pub reactor: Arc<Reactor>,
    tls: Option<Arc<ClientConfig>>,
    /// The failure of the last attempt to connect, and when it was.
    failed: Mutex<Option<(Instant, String)>>,
    /// Tells the notifications of this process from those of others.
    pub instance: String,
    /// The number of the last commit that this process knows of.
    pub last_commit: AtomicI64,
    /// How often a commit of others was noticed.
    pub noticed: AtomicI64,
    pub notice: Arc<Notify>,
}

/// A connection, and what drives it.
pub struct Link {
    pub client: Client,
    driver: AbortHandle,
    /// The server has warned since this was last set to false.
    pub warned: Arc<AtomicBool>,
}

impl Drop for Link {
    /// Ends the driver too, which may wait for a server that has stopped.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Endpoint {
    pub fn new(url: &ServerUrl) -> Result<Arc<Self>, ServerError> {
        let unusable = |e: &dyn std::fmt::Display| ServerError::Unreachable(e.to_string());
        Ok(Arc::new(Self {
            tls: for_upstream(url.tls, &url.tls_options()).map_err(|e| unusable(&e))?,
            reactor: Reactor::start().map_err(|e: io::Error| unusable(&e))?,
            url: url.clone(),
            failed: Mutex::default(),
            instance: uuid::Uuid::new_v4().simple().to_string(),
            last_commit: AtomicI64::new(0),
            noticed: AtomicI64::new(0),
            notice: Arc::default(),
        }))
    }

    /// Connects, on a thread that may wait.
    pub fn connect(&self) -> Result<Link, ServerError> {
        if let Some((at, why)) = &*self.failed.lock()
            && at.elapsed() < REMEMBERED
        {
            return Err(ServerError::Unreachable(why.clone()));
        }
        let connected = self.reactor.wait(self.link(None));
        *self.failed.lock() = match &connected {
            Err(ServerError::Unreachable(why)) => Some((Instant::now(), why.clone())),
            _ => None,
        };
        connected
    }

    /// Connects. Notifications go to `heard`.
    pub async fn link(
        &self,
        heard: Option<mpsc::UnboundedSender<Notification>>,
    ) -> Result<Link, ServerError> {
        let connecting = timeout(CONNECT, self.log_in(heard)).await;
        connecting.unwrap_or_else(|_| {
            Err(ServerError::Unreachable(format!(
                "it did not answer within {} seconds",
                CONNECT.as_secs()
            )))
        })
    }

    async fn log_in(
        &self,
        heard: Option<mpsc::UnboundedSender<Notification>>,
    ) -> Result<Link, ServerError> {
        let config = self.config()?;
        let (client, mut connection) = config
            .connect(Tls(self.tls.clone()))
            .await
            .map_err(ServerError::of_login)?;
        let warned = Arc::new(AtomicBool::new(false));
        let flag = warned.clone();
        let driver: JoinHandle<()> = self.reactor.handle().spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                match message {
                    AsyncMessage::Notice(notice) if notice.severity() == "WARNING" => {
                        tracing::warn!("the server of the store: {}", notice.message());
                        flag.store(true, Ordering::SeqCst);
                    }
                    AsyncMessage::Notification(notification) => {
                        if let Some(heard) = &heard {
                            let _ = heard.send(notification); // the listener may be gone
                        }
                    }
                    _ => {}
                }
            }
        });
        let link = Link {
            client,
            driver: driver.abort_handle(),
            warned,
        };
        let set_up = link.client.batch_execute(&set_up(&self.url.schema)).await;
        set_up.map_err(ServerError::from)?;
        Ok(link)
    }

    fn config(&self) -> Result<Config, ServerError> {
        let url = &self.url;
        let mut config = Config::new();
        config
            .user(&url.user)
            .dbname(&url.dbname)
            .application_name("pgvalet store")
            .connect_timeout(CONNECT)
            .tcp_user_timeout(CONNECT * 2)
            .keepalives_idle(Duration::from_secs(30))
            // A standby keeps the store too, but cannot be written to.
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .ssl_mode(match self.tls {
                Some(_) => SslMode::Require,
                None => SslMode::Disable,
            });
        for (host, port) in &url.hosts {
            config.host(host).port(*port);
        }
        if let Some(file) = &url.password_file {
            let found = password::read(file, url).map_err(ServerError::Unreachable)?;
            config.password(found.as_bytes());
        }
        Ok(config)
    }

    /// Notes a commit of this process.
    pub fn committed(&self, number: i64) {
        let last = &self.last_commit;
        // If it is not the next one, others committed meanwhile, and will be noticed.
        let _ = last.compare_exchange(number - 1, number, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Notes commits of others.
    pub fn others_committed(&self) {
        self.noticed.fetch_add(1, Ordering::SeqCst);
        self.notice.notify_one();
    }
}

/// What holds for every session of a store, whatever the role's own settings are.
///
/// A commit is answered when it is on disk, and on the standbys that the server's
/// `synchronous_standby_names` demands.
fn set_up(schema: &str) -> String {
    let path = escape_literal(&format!("{}, pg_temp", escape_identifier(schema)));
    format!(
        "SELECT set_config('search_path', {path}, false),
            set_config('lock_timeout', '{LOCK_TIMEOUT}', false),
            set_config('statement_timeout', '0', false),
            set_config('idle_in_transaction_session_timeout', '{IDLE_TIMEOUT}', false),
            set_config('client_min_messages', 'warning', false),
            set_config('synchronous_commit', CASE current_setting('synchronous_commit')
                WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)"
    )
}
