//! A throwaway Postgres: its own directory, port and superuser, SCRAM for
//! everybody, gone when dropped.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use postgres_protocol::password::scram_sha_256;
use tokio_postgres::{Client, NoTls};
use zeroize::Zeroizing;

use super::binaries::Binaries;
use super::{DemoError, free_port};
use crate::base::hex;

const SUPERUSER: &str = "postgres";
/// The role that the application logs in as, and its database.
pub const ROLE: &str = "shop_app";
pub const DATABASE: &str = "shop";
/// Transfers go to and fro between these; the last ten belong to the batch.
pub const ACCOUNTS: i32 = 110;

const START_TIMEOUT: Duration = Duration::from_secs(30);

const TABLES: &str = "
    SET ROLE shop_app;
    CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL DEFAULT 0);
    CREATE TABLE entry (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        debit int NOT NULL, credit int NOT NULL, amount bigint NOT NULL,
        at timestamptz NOT NULL DEFAULT now());
    RESET ROLE;";

pub struct Cluster {
    /// `None` only before it was started.
    server: Option<Child>,
    pub version: String,
    pub port: u16,
    /// The directory of its unix socket, where the superuser connects: nobody else
    /// can be listening there, whatever happened to the port.
    directory: PathBuf,
    password: Zeroizing<String>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            end(&mut server);
        }
    }
}

/// Shuts the server down immediately: there is nothing to save.
fn end(server: &mut Child) {
    let pid = Pid::from_raw(server.id().cast_signed());
    if kill(pid, Signal::SIGQUIT).is_ok() {
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if matches!(server.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let _ = server.kill();
    let _ = server.wait();
}

impl Cluster {
    /// # Errors
    /// [`DemoError`]; nothing is left running then.
    pub async fn start(binaries: &Binaries, scratch: &Path) -> Result<Self, DemoError> {
        let directory = scratch.join("postgres");
        DirBuilder::new()
            .mode(0o700)
            .create(&directory)
            .map_err(DemoError::io("make the directory", &directory))?;
        let password = random_password()?;
        initdb(binaries, &directory, &password).await?;
        let mut cluster = Self {
            server: None,
            version: binaries.version.clone(),
            port: free_port()?,
            directory,
            password,
        };
        cluster.run(binaries)?;
        cluster.wait_until_up().await?;
        Ok(cluster)
    }

    fn run(&mut self, binaries: &Binaries) -> Result<(), DemoError> {
        let path = self.directory.join("log");
        let log = File::create(&path).map_err(DemoError::io("make the file", &path))?;
        let errors = log
            .try_clone()
            .map_err(DemoError::io("make the file", &path))?;
        let mut command = binaries.command("postgres");
        command.arg("-D").arg(self.directory.join("data"));
        for setting in [
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={}", self.directory.display()),
            "fsync=off".to_owned(),
            "synchronous_commit=off".to_owned(),
            "full_page_writes=off".to_owned(),
            "shared_buffers=32MB".to_owned(),
            "max_connections=50".to_owned(),
            "password_encryption=scram-sha-256".to_owned(),
        ] {
            command.arg("-c").arg(setting);
        }
        let child = command
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(DemoError::io("start Postgres in", &self.directory))?;
        self.server = Some(child);
        Ok(())
    }

    async fn wait_until_up(&mut self) -> Result<(), DemoError> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let failure = match self.superuser("postgres").await {
                Ok(_) => return Ok(()),
                Err(e) => e,
            };
            let gone = match &mut self.server {
                Some(server) => !matches!(server.try_wait(), Ok(None)),
                None => true,
            };
            if gone || Instant::now() > deadline {
                let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                let why = last_line(&log).map_or_else(|| failure.to_string(), str::to_owned);
                return Err(DemoError::Postgres(why));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A connection of the superuser, straight to Postgres.
    pub async fn superuser(&self, dbname: &str) -> Result<Client, DemoError> {
        let (client, connection) = tokio_postgres::Config::new()
            .host_path(&self.directory)
            .port(self.port)
            .user(SUPERUSER)
            .password(self.password.as_bytes())
            .dbname(dbname)
            .application_name("pgvalet demo")
            .connect(NoTls)
            .await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Makes the application's role, its database and a small ledger.
    pub async fn furnish(&self, password: &str) -> Result<(), DemoError> {
        let admin = self.superuser("postgres").await?;
        let verifier = scram_sha_256(password.as_bytes());
        admin
            .batch_execute(&format!("CREATE ROLE {ROLE} LOGIN PASSWORD '{verifier}'"))
            .await?;
        admin
            .batch_execute(&format!("CREATE DATABASE {DATABASE} OWNER {ROLE}"))
            .await?;
        let admin = self.superuser(DATABASE).await?;
        admin.batch_execute(TABLES).await?;
        let accounts = "INSERT INTO account SELECT generate_series(1, $1)";
        admin.execute(accounts, &[&ACCOUNTS]).await?;
        Ok(())
    }
}

/// Changes the password by a verifier, so that the password itself appears in no statement and
/// in no log of the server.
pub async fn alter_password(admin: &Client, password: &str) -> Result<(), tokio_postgres::Error> {
    let verifier = scram_sha_256(password.as_bytes());
    admin
        .batch_execute(&format!("ALTER ROLE {ROLE} PASSWORD '{verifier}'"))
        .await
}

async fn initdb(binaries: &Binaries, directory: &Path, password: &str) -> Result<(), DemoError> {
    let pwfile = directory.join("superuser");
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&pwfile)
        .and_then(|mut file| file.write_all(password.as_bytes()))
        .map_err(DemoError::io("write the file", &pwfile))?;
    if let Some(user) = &binaries.user {
        for path in [directory, &pwfile] {
            chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                .map_err(DemoError::io("give Postgres the file", path))?;
        }
    }
    let mut command = binaries.command("initdb");
    command
        .arg("--pgdata")
        .arg(directory.join("data"))
        .arg("--pwfile")
        .arg(&pwfile)
        .args(["--username", SUPERUSER, "--auth", "scram-sha-256"])
        .args(["--encoding", "UTF8", "--no-locale", "--no-sync"])
        .current_dir(directory)
        .stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let child = tokio::process::Command::from(command)
        .spawn()
        .map_err(DemoError::io("run initdb in", directory))?;
    let mut group = Group(child.id());
    let output = child
        .wait_with_output()
        .await
        .map_err(DemoError::io("run initdb in", directory))?;
    group.0 = None;
    let _ = fs::remove_file(&pwfile);
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    // The first complaint is the cause; what follows is initdb tidying up.
    let why = text
        .lines()
        .find(|line| line.contains("error:") || line.contains("FATAL"))
        .or_else(|| last_line(&text))
        .unwrap_or("initdb failed and said nothing");
    Err(DemoError::Postgres(why.trim().to_owned()))
}

/// A process and those it started, killed when dropped: initdb has a server working for it,
/// which must end when initdb is interrupted.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0.take() {
            let _ = killpg(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
    }
}

fn last_line(text: &str) -> Option<&str> {
    text.lines().rev().find(|line| !line.trim().is_empty())
}

fn random_password() -> Result<Zeroizing<String>, DemoError> {
    let mut bytes = Zeroizing::new([0u8; 24]);
    SystemRandom::new()
        .fill(&mut bytes[..])
        .map_err(|_| DemoError::NoRandomness)?;
    Ok(Zeroizing::new(hex::encode(&bytes[..])))
}
