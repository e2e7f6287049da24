//! Configurations of proxies: what a test says, and the file made of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use super::pki::Pki;
use super::{Cluster, Proxy, cli, free_port, new_password};

/// A configuration as a test says it; the rest is the same for all.
#[derive(Default)]
pub struct ProxyBuilder {
    store: Option<String>,
    environment: Vec<(String, String)>,
    listen: String,
    audit: String,
    fleet: Option<String>,
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

    /// The Secrets Manager at `url`, looked at every `refresh`, with credentials
    /// that stand-ins for AWS do not check.
    pub fn aws(self, url: &str, refresh: &str) -> Self {
        let store = format!(
            "kind = \"aws\"\nregion = \"eu-central-1\"\nendpoint_url = \"{url}\"\nrefresh = \"{refresh}\""
        );
        let builder = self.store(&store);
        let add = |builder: Self, (name, value)| builder.environment(name, value);
        cli::AWS.into_iter().fold(builder, add)
    }

    /// More lines for `[listen]`.
    pub fn listen(mut self, lines: &str) -> Self {
        self.listen = lines.to_owned();
        self
    }

    /// More lines for `[audit]`.
    pub fn audit(mut self, lines: &str) -> Self {
        self.audit = lines.to_owned();
        self
    }

    /// The body of `[fleet]`.
    pub fn fleet(mut self, lines: &str) -> Self {
        self.fleet = Some(lines.to_owned());
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
        // On a busy machine a test may wait for a second, and what it compares has no NOTICE.
        let quiet = match listen.contains("wait_notice") {
            true => "",
            false => "wait_notice = \"0s\"\n",
        };
        let audit = &self.audit;
        // A sink may have a path, too.
        let own = audit.split("[[").next().unwrap_or_default();
        let path = match own.contains("path = ") {
            true => String::new(),
            false => format!("path = \"{base}/audit.jsonl\"\n"),
        };
        let mut text = format!(
            "[listen]\naddress = [\"127.0.0.1:{port}\", \"unix:{base}/socket\"]\n\
             shutdown_timeout = \"1s\"\n{quiet}{listen}\n\n\
             [admin]\naddress = \"127.0.0.1:{admin_port}\"\n\n\
             [store]\n{store}\n\n\
             [audit]\n{path}{audit}\n"
        );
        if let Some(fleet) = &self.fleet {
            text += &format!("\n[fleet]\n{fleet}\n");
        }
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

/// A proxy with one database `app` (and `more` lines for it), by a role of its
/// own.
pub async fn proxy(cluster: &Cluster, more: &str) -> Proxy {
    let role = format!("r{}", &new_password()[3..11]);
    let password = new_password();
    cluster.create_role(&role, &password).await;
    Proxy::with_one_database(&cluster.secret(&role, &password), more)
        .start()
        .await
}

/// A rule for each kind of name, each with a database of its own.
pub async fn proxy_by_certificate(cluster: &Cluster, pki: &Pki) -> Proxy {
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let own = cluster.ca().parent().expect("a directory").to_owned();
    let (own, ca, crl) = (own.display(), pki.ca(), pki.crl());
    let mut builder = Proxy::builder()
        .secret("app", &cluster.secret("app_user", &password))
        .listen(&format!(
            "certificate = \"{own}/server.crt\"\nkey = \"{own}/server.key\"\n\
             client_ca = {ca:?}\nclient_crl = [{crl:?}]"
        ));
    for (database, name) in [
        ("spiffe", "spiffe://example.org/orders"),
        ("dns", "dns:orders.example.org"),
        ("cn", "cn:orders"),
    ] {
        builder = builder
            .database(database, "secret = \"app\"")
            .client(&format!(
                "name = \"by-{database}\"\ncertificate = \"{name}\"\ndatabases = \"{database}\""
            ));
    }
    builder
        .database("open", "secret = \"app\"")
        .client("name = \"anybody\"\nnetwork = \"127.0.0.0/8\"\ndatabases = \"open\"")
        .start()
        .await
}

/// A database `orders`, whose secret `prod/orders` is in the Secrets Manager at `url`.
pub fn orders_in_aws(url: &str, refresh: &str, more: &str) -> ProxyBuilder {
    let body = format!("secret = \"prod/orders\"\n{more}");
    Proxy::builder().aws(url, refresh).database("orders", &body)
}
