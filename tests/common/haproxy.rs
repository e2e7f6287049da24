//! A real HAProxy.

use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{end, eventually, tethered};

pub struct HaProxy {
    child: Child,
    _directory: TempDir,
}

impl HaProxy {
    /// Runs it with `listen` (and other) sections, and waits until it listens on these ports.
    pub async fn start(sections: &str, ports: &[u16]) -> Self {
        let directory = TempDir::with_prefix("pgvalet-haproxy-").expect("a directory");
        let config = format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 1m\n timeout server 1m\n\
             {sections}"
        );
        let file = directory.path().join("haproxy.cfg");
        std::fs::write(&file, config).expect("written");
        let program = ["/usr/sbin/haproxy", "/usr/local/bin/haproxy"]
            .into_iter()
            .find(|p| std::path::Path::new(p).exists())
            .expect("haproxy is missing; run scripts/setup.sh");
        let child = tethered(program, "KILL", None)
            .arg("-db")
            .arg("-f")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("haproxy starts");
        for port in ports {
            eventually("haproxy listens", Duration::from_secs(10), || async move {
                TcpStream::connect(("127.0.0.1", *port)).await.ok()
            })
            .await;
        }
        Self {
            child,
            _directory: directory,
        }
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        end(&mut self.child, Signal::SIGTERM, Duration::from_secs(2));
    }
}
