//! What a test says about its proxy, and the configuration file made of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use super::{Proxy, free_port};

/// What a test says about its proxy; the rest is the same for all.
#[derive(Default)]
pub struct ProxyBuilder {
    store: Option<String>,
    environment: Vec<(String, String)>,
    listen: String,
    secrets: Vec<(String, String)>,
    databases: Vec<(String, String)>,
    clients: Vec<String>,
}

impl ProxyBuilder {
    /// A secret of the embedded store, made before the proxy starts.
    pub fn secret(mut self, name: &str, value: &str) -> Self {
        self.secrets.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The body of `[database.NAME]`.
    pub fn database(mut self, name: &str, body: &str) -> Self {
        self.databases.push((name.to_owned(), body.to_owned()));
        self
    }

    /// The body of a `[[client]]`. With none at all, this machine may use
    /// every database: over TCP as `api`, over the unix socket as `local`.
    pub fn client(mut self, body: &str) -> Self {
        self.clients.push(body.to_owned());
        self
    }

    /// The body of `[store]` instead of an embedded store.
    pub fn store(mut self, body: &str) -> Self {
        self.store = Some(body.to_owned());
        self
    }

    /// More lines for `[listen]`.
    pub fn listen(mut self, lines: &str) -> Self {
        self.listen = lines.to_owned();
        self
    }

    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes the file and makes the secrets; nothing runs yet.
    pub fn prepare(self) -> Proxy {
        let directory = TempDir::with_prefix("pgvalet-").expect("a temporary directory");
        let base = directory.path();
        // Clients of other users must reach the socket; secrets have modes of their own.
        fs::set_permissions(base, fs::Permissions::from_mode(0o755)).expect("a mode");
        fs::create_dir(base.join("socket")).expect("a directory");
        let (port, admin_port) = (free_port(), free_port());
        let text = self.text(base, port, admin_port);
        let proxy = Proxy::new(directory, port, admin_port, self.environment);
        fs::write(proxy.config(), text).expect("the configuration");
        for (name, value) in &self.secrets {
            proxy.secret_create(name, value);
        }
        proxy
    }

    /// A proxy that is ready.
    pub async fn start(self) -> Proxy {
        let mut proxy = self.prepare();
        proxy.run();
        proxy.wait_ready().await;
        proxy
    }

    /// A proxy that is alive, though perhaps unable to serve.
    pub async fn start_unready(self) -> Proxy {
        let mut proxy = self.prepare();
        proxy.run();
        proxy.wait_for("/livez").await;
        proxy
    }

    fn text(&self, base: &Path, port: u16, admin_port: u16) -> String {
        let base = base.display();
        let store = self.store.clone().unwrap_or_else(|| {
            format!(
                "kind = \"embedded\"\npath = \"{base}/store.db\"\nkey_file = \"{base}/store.key\""
            )
        });
        let listen = &self.listen;
        let mut text = format!(
            "[listen]\naddress = [\"127.0.0.1:{port}\", \"unix:{base}/socket\"]\n\
             shutdown_timeout = \"1s\"\n{listen}\n\n\
             [admin]\naddress = \"127.0.0.1:{admin_port}\"\n\n\
             [store]\n{store}\n\n\
             [audit]\npath = \"{base}/audit.jsonl\"\n"
        );
        for (name, body) in &self.databases {
            text += &format!("\n[database.{name}]\n{body}\n");
        }
        let names: Vec<&String> = self.databases.iter().map(|(name, _)| name).collect();
        let everybody = [
            format!("name = \"api\"\nnetwork = [\"127.0.0.0/8\"]\ndatabases = {names:?}"),
            format!(
                "name = \"local\"\nunix_user = {}\ndatabases = {names:?}",
                nix::unistd::geteuid()
            ),
        ];
        let clients = if self.clients.is_empty() {
            &everybody[..]
        } else {
            &self.clients
        };
        for body in clients {
            text += &format!("\n[[client]]\n{body}\n");
        }
        text
    }
}
