//! A throwaway Postgres cluster: SCRAM for everybody, TLS, its own directory,
//! port and log.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::{User, chown, geteuid};
use tempfile::TempDir;

use super::binaries::{self, Binaries};
use super::{Session, end, eventually, free_port, new_password, tethered};

const SUPERUSER: &str = "postgres";

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

    /// One of each major version at hand, one after the other: `while let
    /// Some(cluster) = clusters.next().await`.
    pub fn all() -> Clusters {
        Clusters(binaries::all().into_iter())
    }

    pub async fn start_with(binaries: &Binaries) -> Self {
        let directory = TempDir::with_prefix("pgvalet-pg-").expect("a temporary directory");
        let base = directory.path();
        for name in ["socket", "tls"] {
            fs::create_dir(base.join(name)).expect("a directory");
        }
        let password = new_password();
        fs::write(base.join("superuser"), &password).expect("the password file");
        make_certificates(&base.join("tls"));
        give_to_postgres(base);

        let initdb = tethered(binaries.bin.join("initdb"), "KILL", Some("postgres"))
            .arg("--pgdata")
            .arg(base.join("data"))
            .arg("--pwfile")
            .arg(base.join("superuser"))
            .args(["--username", SUPERUSER, "--auth", "scram-sha-256"])
            .args(["--encoding", "UTF8", "--no-locale", "--no-sync"])
            .current_dir(base)
            .output()
            .expect("initdb starts");
        assert!(
            initdb.status.success(),
            "initdb failed: {}",
            String::from_utf8_lossy(&initdb.stderr)
        );

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
        let directory = TempDir::with_prefix("pgvalet-pg-").expect("a temporary directory");
        let copied = std::process::Command::new("cp")
            .arg("-R")
            .arg(self.directory.path().join("."))
            .arg(directory.path())
            .status()
            .expect("cp");
        assert!(copied.success());
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

    /// Ends the server at once; `run` brings it back on the same port.
    pub fn stop(&mut self) {
        drop(std::mem::replace(&mut self.server, Server(None)));
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

    /// A line of pg_hba.conf that keeps a role out of one database.
    pub async fn keep_out(&self, database: &str, role: &str) {
        let file = self.directory.path().join("data/pg_hba.conf");
        let text = fs::read_to_string(&file).expect("pg_hba.conf");
        let line = format!("host {database} {role} all reject\n");
        fs::write(file, line + &text).expect("pg_hba.conf");
        self.execute("SELECT pg_reload_conf()").await;
    }

    /// Another method in pg_hba.conf, for everybody.
    pub async fn permit(&self, method: &str) {
        let file = self.directory.path().join("data/pg_hba.conf");
        let text = format!("local all all {method}\nhost all all 127.0.0.1/32 {method}\n");
        fs::write(file, text).expect("pg_hba.conf");
        self.execute("SELECT pg_reload_conf()").await;
    }

    /// Lets everybody into these databases without a password; into the others
    /// as before.
    pub async fn trust_in(&self, databases: &[String]) {
        let file = self.directory.path().join("data/pg_hba.conf");
        let text = format!(
            "host {} all 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
            databases.join(",")
        );
        fs::write(file, text).expect("pg_hba.conf");
        self.execute("SELECT pg_reload_conf()").await;
    }

    /// Lets one role in by certificate alone, over TLS; the others as before.
    pub async fn permit_certificate(&self, role: &str) {
        let file = self.directory.path().join("data/pg_hba.conf");
        let text = format!(
            "hostssl all {role} 127.0.0.1/32 cert\nhost all all 127.0.0.1/32 scram-sha-256\n"
        );
        fs::write(file, text).expect("pg_hba.conf");
        self.execute("SELECT pg_reload_conf()").await;
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

    /// What the server wrote about itself so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// The CA that signed the certificate the server shows as `localhost`.
    pub fn ca(&self) -> PathBuf {
        self.directory.path().join("tls/ca.crt")
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

fn make_certificates(directory: &Path) {
    let ca_key = rcgen::KeyPair::generate().expect("a key");
    let mut ca = rcgen::CertificateParams::new(Vec::new()).expect("no names");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.distinguished_name
        .push(rcgen::DnType::CommonName, "pgvalet test CA");
    let ca_certificate = ca.self_signed(&ca_key).expect("a CA");
    let issuer = rcgen::Issuer::new(ca, ca_key);

    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate =
        rcgen::CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])
            .and_then(|params| params.signed_by(&key, &issuer))
            .expect("a server certificate");

    let client_key = rcgen::KeyPair::generate().expect("a key");
    let mut client = rcgen::CertificateParams::new(Vec::new()).expect("no names");
    client.distinguished_name = rcgen::DistinguishedName::new();
    let name = &mut client.distinguished_name;
    name.push(rcgen::DnType::CommonName, "by_cert");
    let client = client.signed_by(&client_key, &issuer);

    for (name, content) in [
        ("client.crt", client.expect("a client's certificate").pem()),
        ("client.key", client_key.serialize_pem()),
        ("ca.crt", ca_certificate.pem()),
        ("server.crt", certificate.pem()),
        ("server.key", key.serialize_pem()),
    ] {
        let path = directory.join(name);
        fs::write(&path, content).expect("a file");
        let mode = if name.ends_with(".key") { 0o600 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    }
}

/// Postgres refuses to run as root, so there the files are those of `postgres`.
fn give_to_postgres(base: &Path) {
    fs::set_permissions(base, fs::Permissions::from_mode(0o755)).expect("a mode");
    if !geteuid().is_root() {
        return;
    }
    let user = User::from_name("postgres")
        .ok()
        .flatten()
        .expect("a user called postgres, as Debian's package makes it");
    let mut pending = vec![base.to_owned()];
    while let Some(path) = pending.pop() {
        chown(&path, Some(user.uid), Some(user.gid)).expect("chown");
        if path.is_dir() {
            pending.extend(
                fs::read_dir(&path)
                    .expect("a listing")
                    .flatten()
                    .map(|e| e.path()),
            );
        }
    }
}
