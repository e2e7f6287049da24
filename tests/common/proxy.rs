//! The real proxy binary with a configuration of its own.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::{ProxyBuilder, Session, cli, connect, end, eventually, http, tethered};

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

    /// One that does not run yet; see [`ProxyBuilder::prepare`].
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

    /// By a command that becomes pgvalet when its arguments are added.
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

    /// Where clients connect, as any user, with no password.
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

    /// Standard error (and output) so far.
    /// Lines are written by a thread of the proxy's own, a moment after what they
    /// tell of: it is read until nothing more comes.
    pub fn log(&self) -> String {
        let read = || fs::read_to_string(self.directory().join("stderr")).unwrap_or_default();
        let deadline = Instant::now() + Duration::from_secs(2);
        let mut text = read();
        loop {
            std::thread::sleep(Duration::from_millis(30));
            let more = read();
            if more.len() == text.len() || Instant::now() > deadline {
                return more;
            }
            text = more;
        }
    }

    /// The audit log, a record a line. A line that is still being written is
    /// left out.
    pub fn audit(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.directory().join("audit.jsonl")).unwrap_or_default();
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }

    /// The same, once there is one: the log is written behind the session.
    pub async fn audit_seen(&self, event: &str) -> Vec<Value> {
        super::eventually(event, Duration::from_secs(5), || async {
            let records = self.audit_of(event);
            (!records.is_empty()).then_some(records)
        })
        .await
    }

    pub fn audit_of(&self, event: &str) -> Vec<Value> {
        let mut records = self.audit();
        records.retain(|record| record["event"] == event);
        records
    }

    pub async fn metrics(&self) -> String {
        let (status, text) = self.get("/metrics").await;
        assert_eq!(status, 200, "{text}");
        text
    }

    /// The sum of all series of a metric whose labels contain `labels`
    /// (as they are written: `secret="app"`); `None` when there is no such series.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let text = self.metrics().await;
        let values: Vec<f64> = text
            .lines()
            .filter(|line| {
                line.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(['{', ' ']))
                    && labels.iter().all(|label| line.contains(label))
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    pub async fn status(&self) -> Value {
        let (code, text) = self.get("/status").await;
        assert_eq!(code, 200, "{text}");
        serde_json::from_str(&text).expect("JSON")
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        http::get(self.admin_port, path)
            .await
            .unwrap_or_else(|| panic!("no answer to {path}:\n{}", self.log()))
    }

    /// Waits until a version is the one that new logins use.
    /// Waits until so many clients were denied, and for these reasons.
    pub async fn wait_denied(&self, reasons: &[&str]) {
        let what = format!("denials are recorded: {reasons:?}");
        eventually(&what, Duration::from_secs(5), || async {
            let denied = self.audit_of("session.deny");
            let found: Vec<&str> = denied.iter().filter_map(|r| r["reason"].as_str()).collect();
            (found == reasons).then_some(())
        })
        .await;
    }

    pub async fn wait_in_force(&self, secret: &str, version: &str) {
        let labels = [
            format!("secret=\"{secret}\""),
            format!("version=\"{version}\""),
        ];
        eventually(
            &format!("version {version} of {secret} is in force"),
            Duration::from_secs(20),
            || async {
                let value = self
                    .metric("pgvalet_secret_version_info", &[&labels[0], &labels[1]])
                    .await;
                (value == Some(1.0)).then_some(())
            },
        )
        .await;
    }

    /// Notes a password that the leak scan must look for.
    pub fn watch_for(&self, secret_value: &str) {
        let json: Value = serde_json::from_str(secret_value).unwrap_or_default();
        if let Some(password) = json["password"].as_str() {
            let mut passwords = self.passwords.lock().expect("not poisoned");
            passwords.insert(password.to_owned());
        }
    }

    pub fn secret_create(&self, name: &str, value: &str) -> String {
        self.watch_for(value);
        last_line(&cli::pgvalet_ok(
            &self.config(),
            &["secret", "create", name],
            value,
        ))
    }

    /// A new version of a secret with AWSCURRENT; its id.
    pub async fn secret_put(&self, name: &str, value: &str) -> String {
        self.watch_for(value);
        let (config, name, value) = (self.config(), name.to_owned(), value.to_owned());
        // Elsewhere, so that clients under test go on meanwhile.
        tokio::task::spawn_blocking(move || {
            last_line(&cli::pgvalet_ok(&config, &["secret", "put", &name], &value))
        })
        .await
        .expect("the command ran")
    }

    /// Fails if a password stands in anything that somebody might read.
    pub async fn assert_no_leak(&self) {
        let mut places = self.written();
        places.push(("/metrics".to_owned(), self.metrics().await));
        places.push(("/status".to_owned(), self.status().await.to_string()));
        places.push(("/".to_owned(), self.get("/").await.1));
        self.scan(&places);
    }

    fn written(&self) -> Vec<(String, String)> {
        let entries = fs::read_dir(self.directory()).into_iter().flatten();
        let names = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned());
        // Commands beside a running proxy have audit logs of their own.
        names
            .filter(|name| name == "stderr" || name.starts_with("audit"))
            .map(|name| {
                let text = fs::read(self.directory().join(&name)).unwrap_or_default();
                (name, String::from_utf8_lossy(&text).into_owned())
            })
            .collect()
    }

    pub fn scan(&self, places: &[(String, String)]) {
        let Ok(passwords) = self.passwords.lock() else {
            return;
        };
        for (place, text) in places {
            // Not the text itself: it would leak a second time.
            assert!(
                !passwords.iter().any(|password| text.contains(password)),
                "a password stands in {place}"
            );
        }
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
