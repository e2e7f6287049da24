//! The real proxy binary with a configuration of its own.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{Cluster, ProxyBuilder, Session, cli, connect, end, http, new_password, tethered};

mod evidence;
mod leaks;

pub struct Proxy {
    child: Option<Child>,
    pub port: u16,
    pub admin_port: u16,
    environment: Vec<(String, String)>,
    /// Every password that went through the store: none may turn up elsewhere.
    passwords: Mutex<BTreeSet<String>>,
    directory: TempDir,
}

impl Proxy {
    pub fn builder() -> ProxyBuilder {
        ProxyBuilder::default()
    }

    /// A proxy that does not run yet; see [`ProxyBuilder::prepare`].
    pub fn new(
        directory: TempDir,
        port: u16,
        admin_port: u16,
        environment: Vec<(String, String)>,
    ) -> Self {
        Self {
            child: None,
            port,
            admin_port,
            environment,
            passwords: Mutex::default(),
            directory,
        }
    }

    /// The common case: one secret `app` and one database `app` with more keys.
    pub fn with_one_database(secret_value: &str, more: &str) -> ProxyBuilder {
        Self::builder()
            .secret("app", secret_value)
            .database("app", &format!("secret = \"app\"\n{more}"))
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn config(&self) -> PathBuf {
        self.directory().join("pgvalet.toml")
    }

    pub fn run(&mut self) {
        // Another build of it, for what only says something of that one.
        let program = std::env::var_os("PGVALET_BINARY");
        let program = program.unwrap_or(cli::PGVALET.into());
        self.run_by(tethered(program, "KILL", None));
    }

    /// Runs it by a command that becomes pgvalet when its arguments are added.
    pub fn run_by(&mut self, mut pgvalet: Command) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.directory().join("stderr"))
            .expect("the log file");
        let child = pgvalet
            .args(["run", "--config"])
            .arg(self.config())
            .envs(self.environment.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log file"))
            .stderr(log)
            .spawn()
            .expect("pgvalet starts");
        self.child = Some(child);
    }

    pub async fn wait_ready(&mut self) {
        self.wait_for("/readyz").await;
    }

    pub async fn wait_for(&mut self, path: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if matches!(http::get(self.admin_port, path).await, Some((200, _))) {
                return;
            }
            if let Some(status) = self.exit_status() {
                panic!("pgvalet ended ({status}) before {path}:\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "no {path}:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().expect("a child")
    }

    /// Waits until the process has ended by itself.
    pub async fn wait_exit(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.exit_status() {
                return status;
            }
            assert!(Instant::now() < deadline, "still running:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("running").id()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).expect("the process is there");
    }

    /// The address for clients, as any user, with no password.
    pub fn dsn(&self, database: &str) -> String {
        self.dsn_as("anyone", database)
    }

    pub fn dsn_as(&self, user: &str, database: &str) -> String {
        format!(
            "host=127.0.0.1 port={} user={user} dbname={database}",
            self.port
        )
    }

    pub fn unix_dsn(&self, database: &str) -> String {
        let (directory, port) = self.unix();
        format!(
            "host={} port={port} user=anyone dbname={database}",
            directory.display()
        )
    }

    /// The directory of the unix socket and the number in its name.
    pub fn unix(&self) -> (PathBuf, u16) {
        let directory = self.directory().join("socket");
        let port = fs::read_dir(&directory)
            .expect("the socket's directory")
            .flatten()
            .find_map(|entry| {
                entry
                    .file_name()
                    .to_str()?
                    .strip_prefix(".s.PGSQL.")?
                    .parse()
                    .ok()
            })
            .expect("a listening unix socket");
        (directory, port)
    }

    pub async fn connect(&self, database: &str) -> Session {
        connect(&self.dsn(database))
            .await
            .unwrap_or_else(|e| panic!("connecting to {database}: {e:?}\n{}", self.log()))
    }

    pub fn secret_create(&self, name: &str, value: &str) -> String {
        self.watch_for(value);
        last_line(&cli::pgvalet_ok(
            &self.config(),
            &["secret", "create", name, "--any"],
            value,
        ))
    }

    /// Changes a role's password, puts it into the secret `app` and waits until that
    /// version is in force, which it returns.
    pub async fn rotate(&self, cluster: &Cluster, role: &str) -> String {
        let password = new_password();
        cluster.alter_password(role, &password).await;
        let version = self
            .secret_put("app", &cluster.secret(role, &password))
            .await;
        self.wait_in_force("app", &version).await;
        version
    }

    /// A new version of a secret with AWSCURRENT; its id.
    pub async fn secret_put(&self, name: &str, value: &str) -> String {
        self.watch_for(value);
        let (config, name, value) = (self.config(), name.to_owned(), value.to_owned());
        // Elsewhere, so that clients under test go on meanwhile.
        tokio::task::spawn_blocking(move || {
            last_line(&cli::pgvalet_ok(
                &config,
                &["secret", "put", &name, "--any"],
                &value,
            ))
        })
        .await
        .expect("the command ran")
    }
}

fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim().to_owned()
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            end(&mut child, Signal::SIGTERM, Duration::from_secs(5));
        }
        if std::thread::panicking() {
            eprintln!("--- log of pgvalet\n{}\n---", self.log());
        } else {
            // Every test is a leak test.
            self.scan(&self.written());
        }
    }
}
