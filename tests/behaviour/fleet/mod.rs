//! Several replicas with the same configuration.

pub mod cancel;
mod own;
pub mod size;
mod stuck;
mod visitors;
mod whole;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::common::{Cluster, Proxy, free_port, new_password};

/// Files of fleet keys.
pub struct Keys(TempDir);

impl Keys {
    pub fn new() -> Self {
        Self(TempDir::with_prefix("fleet-").expect("a directory"))
    }

    /// The file of a key with this byte in every place.
    pub fn of(&self, byte: u8) -> PathBuf {
        let path = self.0.path().join(format!("{byte}.key"));
        fs::write(&path, STANDARD.encode([byte; 32])).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        path
    }
}

/// The body of `[fleet]` of a replica.
pub fn member(key: &Path, port: u16, peers: &[u16]) -> String {
    let peers: Vec<String> = peers.iter().map(|p| format!("127.0.0.1:{p}")).collect();
    format!("key_file = {key:?}\naddress = \"127.0.0.1:{port}\"\npeers = {peers:?}")
}

/// Where a replica listens for the others.
fn fleet_port(replica: &Proxy) -> u16 {
    let text = fs::read_to_string(replica.config()).expect("its configuration");
    let fleet = text.split("[fleet]").nth(1).expect("a fleet");
    let address = fleet.split("address = \"127.0.0.1:").nth(1);
    let port = address.and_then(|rest| rest.split('"').next());
    port.and_then(|port| port.parse().ok()).expect("a port")
}

/// So many replicas with one database `app`, and `more` lines for it.
async fn replicas(cluster: &Cluster, keys: &Keys, count: usize, more: &str) -> Vec<Proxy> {
    replicas_of(cluster, keys, count, more).await.1
}

/// The same, and the role of all of them.
async fn replicas_of(
    cluster: &Cluster,
    keys: &Keys,
    count: usize,
    more: &str,
) -> (String, Vec<Proxy>) {
    let (role, password) = (format!("r{}", &new_password()[3..11]), new_password());
    cluster.create_role(&role, &password).await;
    let secret = cluster.secret(&role, &password);
    let ports: Vec<u16> = (0..count).map(|_| free_port()).collect();
    let mut replicas = Vec::new();
    for port in &ports {
        let replica = Proxy::with_one_database(&secret, more)
            .fleet(&member(&keys.of(1), *port, &ports))
            .start();
        replicas.push(replica.await);
    }
    (role, replicas)
}

/// A load balancer: each connection goes to the next replica. Its port.
async fn balance(replicas: &[Proxy]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let ports: Vec<u16> = replicas.iter().map(|replica| replica.port).collect();
    tokio::spawn(async move {
        for port in ports.iter().cycle() {
            let Ok((mut client, _)) = listener.accept().await else {
                return;
            };
            let port = *port;
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
                copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    port
}
