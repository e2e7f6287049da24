//! A throwaway Postgres cluster, with a directory, a port and a log of its own. It
//! has TLS, and everybody logs in by SCRAM.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::binaries::{self, Binaries};
use super::{Session, end, eventually, free_port, tethered};
use files::{give_to_postgres, make_certificates};
use template::SUPERUSER;

mod access;
mod files;
mod template;

pub struct Cluster {
    /// Declared first: dropped (and so ended) before its directory goes.
    server: Server,
    directory: TempDir,
    pub binaries: Binaries,
    pub port: u16,
    password: String,
}

struct Server(Option<Child>);

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // SIGQUIT: immediate shutdown; there is nothing to save.
            end(&mut child, Signal::SIGQUIT, Duration::from_secs(5));
        }
    }
}

impl Cluster {
    /// The newest version at hand.
    pub async fn start() -> Self {
        Self::start_with(&binaries::all()[0]).await
    }

    /// Clusters of each major version at hand, one after the other: `while let
    /// Some(cluster) = clusters.next().await`.
    pub fn all() -> Clusters {
        Clusters(binaries::all().into_iter())
    }

    pub async fn start_with(binaries: &Binaries) -> Self {
        let directory = files::directory();
        let base = directory.path();
        for name in ["socket", "tls"] {
            fs::create_dir(base.join(name)).expect("a directory");
        }
        make_certificates(&base.join("tls"));
        give_to_postgres(base);
        template::copy_to(base, binaries);
        let password = fs::read_to_string(base.join("superuser")).expect("the password file");

        let mut cluster = Self {
            server: Server(None),
            binaries: binaries.clone(),
            port: free_port(),
            password,
            directory,
        };
        cluster.run().await;
        cluster
    }

    /// Starts the server (again) and waits until it lets the superuser in.
    pub async fn run(&mut self) {
        let base = self.directory.path();
        let log = File::options()
            .create(true)
            .append(true)
            .open(base.join("log"))
            .expect("the log file");
        let mut command = tethered(self.binaries.bin.join("postgres"), "QUIT", Some("postgres"));
        command.arg("-D").arg(base.join("data")).current_dir(base);
        let socket = base.join("socket");
        let tls = base.join("tls");
        for setting in [
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={}", socket.display()),
            "fsync=off".to_owned(),
            "full_page_writes=off".to_owned(),
            "shared_buffers=16MB".to_owned(),
            "max_connections=100".to_owned(),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", tls.join("server.crt").display()),
            format!("ssl_key_file={}", tls.join("server.key").display()),
            format!("ssl_ca_file={}", tls.join("ca.crt").display()),
            "log_connections=on".to_owned(),
            "log_disconnections=on".to_owned(),
            "log_line_prefix=%m [%p] ".to_owned(),
            "password_encryption=scram-sha-256".to_owned(),
        ] {
            command.arg("-c").arg(setting);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log file"))
            .stderr(log)
            .spawn()
            .expect("postgres starts");
        self.server.0 = Some(child);
        eventually(
            "Postgres accepts connections",
            Duration::from_secs(30),
            || async { Session::open(&self.superuser_config("postgres")).await.ok() },
        )
        .await;
    }

    /// A streaming standby of this one, which is restarted for it.
    pub async fn standby(&mut self) -> Self {
        if let Some(mut child) = self.server.0.take() {
            // SIGINT: a fast shutdown, after which the files can be copied.
            end(&mut child, Signal::SIGINT, Duration::from_secs(20));
        }
        let directory = files::directory();
        template::copy(self.directory.path(), directory.path());
        let data = directory.path().join("data");
        let _ = fs::remove_file(data.join("postmaster.pid"));
        fs::write(data.join("standby.signal"), "").expect("a file");
        let source = format!(
            "primary_conninfo = 'host=127.0.0.1 port={} user={SUPERUSER} password={}'\n",
            self.port, self.password
        );
        fs::write(data.join("postgresql.auto.conf"), source).expect("a file");
        give_to_postgres(directory.path());
        self.run().await;
        let mut standby = Self {
            server: Server(None),
            directory,
            binaries: self.binaries.clone(),
            port: free_port(),
            password: self.password.clone(),
        };
        standby.run().await;
        standby
    }

    /// Restarts the server with these settings.
    pub async fn restart_with(&mut self, settings: &[(&str, &str)]) {
        for (name, value) in settings {
            self.execute(&format!("ALTER SYSTEM SET {name} = '{value}'"))
                .await;
        }
        self.stop();
        self.run().await;
    }

    /// Ends the server at once; `run` brings it back on the same port.
    pub fn stop(&mut self) {
        drop(std::mem::replace(&mut self.server, Server(None)));
    }

    /// Restarts the server as `pg_ctl restart -m fast` does: sessions are ended, whatever
    /// they do.
    pub async fn restart_fast(&mut self) {
        if let Some(mut child) = self.server.0.take() {
            end(&mut child, Signal::SIGINT, Duration::from_secs(20));
        }
        self.run().await;
    }

    /// The postmaster.
    pub fn pid(&self) -> u32 {
        self.server.0.as_ref().expect("running").id()
    }

    /// Waits until a server that has crashed lets the superuser in again.
    pub async fn recovered(&self) {
        eventually("Postgres recovers", Duration::from_secs(30), || async {
            let session = Session::open(&self.superuser_config("postgres")).await;
            session.ok()?.simple_query("select 1").await.ok()
        })
        .await;
    }

    fn superuser_config(&self, dbname: &str) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(self.port)
            .user(SUPERUSER)
            .password(&self.password)
            .dbname(dbname)
            .application_name("test-superuser");
        config
    }

    /// A connection of the superuser, straight to Postgres.
    pub async fn superuser(&self) -> Session {
        Session::open(&self.superuser_config("postgres"))
            .await
            .expect("the superuser logs in")
    }

    /// The same, in another database than `postgres`.
    pub async fn superuser_in(&self, dbname: &str) -> Session {
        Session::open(&self.superuser_config(dbname))
            .await
            .expect("the superuser logs in")
    }

    pub async fn execute(&self, sql: &str) {
        self.superuser()
            .await
            .batch_execute(sql)
            .await
            .unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }

    /// A role that may log in and make its own tables.
    pub async fn create_role(&self, name: &str, password: &str) {
        self.execute(&format!(
            "CREATE ROLE \"{name}\" LOGIN PASSWORD '{password}';
             GRANT ALL ON SCHEMA public TO \"{name}\""
        ))
        .await;
    }

    /// The certificate, and its key, of a client called `by_cert`.
    pub fn client_certificate(&self) -> (PathBuf, PathBuf) {
        let file = |name| self.directory.path().join("tls").join(name);
        (file("client.crt"), file("client.key"))
    }

    pub async fn alter_password(&self, name: &str, password: &str) {
        self.execute(&format!("ALTER ROLE \"{name}\" PASSWORD '{password}'"))
            .await;
    }

    /// The value of a secret for a role of this cluster, as RDS writes it.
    pub fn secret(&self, username: &str, password: &str) -> String {
        serde_json::json!({
            "engine": "postgres",
            "host": "127.0.0.1",
            "port": self.port,
            "dbname": "postgres",
            "username": username,
            "password": password,
        })
        .to_string()
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// The directory of its data.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The CA that signed the certificate the server shows as `localhost`.
    pub fn ca(&self) -> PathBuf {
        self.directory.path().join("tls/ca.crt")
    }

    fn hba(&self) -> PathBuf {
        self.directory.path().join("data/pg_hba.conf")
    }

    pub fn superuser_password_file(&self) -> PathBuf {
        self.directory.path().join("superuser")
    }

    pub fn socket_directory(&self) -> PathBuf {
        self.directory.path().join("socket")
    }
}

pub struct Clusters(std::vec::IntoIter<Binaries>);

impl Clusters {
    pub async fn next(&mut self) -> Option<Cluster> {
        let binaries = self.0.next()?;
        Some(Cluster::start_with(&binaries).await)
    }
}
