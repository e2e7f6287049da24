//! Helpers of the tests: throwaway Postgres clusters, the real proxy binary in
//! front of them, stand-ins for AWS, and waiting for a condition with a deadline.
//!
//! Every test owns what it starts; nothing outlives it, not even when it
//! panics, and on Linux not even when the test process itself is killed.
#![allow(
    dead_code,
    reason = "each test binary uses its own part of the harness"
)]

pub mod binaries;
pub mod cancel;
pub mod cli;
pub mod client;
pub mod cluster;
pub mod collector;
pub mod haproxy;
pub mod http;
pub mod issuer;
pub mod ledger;
pub mod memory;
pub mod moto;
pub mod pki;
pub mod programs;
pub mod proxy;
pub mod raw;
pub mod rds;
pub mod relay;
pub mod sampler;
pub mod setup;
pub mod store_server;
pub mod sts;
pub mod tls;
pub mod valve;
pub mod vault;
pub mod wait;
pub mod world;

pub use client::{Session, connect};
pub use cluster::Cluster;
pub use proxy::Proxy;
pub use setup::ProxyBuilder;
pub use wait::eventually;

use std::fs;
use std::mem;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A port that nothing listens on, and that no other test is given as long as this
/// process lives. Not one that the system gives out: whoever connects anywhere gets
/// one of those, and may get this before it is used.
pub fn free_port() -> u16 {
    let taken = format!("pgvalet-test-ports-{}", nix::unistd::geteuid());
    let taken = std::env::temp_dir().join(taken);
    fs::create_dir_all(&taken).expect("a directory");
    loop {
        let [a, b, ..] = uuid::Uuid::new_v4().into_bytes();
        let port = 10_000 + u16::from_be_bytes([a, b]) % 22_000;
        let claim = fs::File::create(taken.join(port.to_string())).expect("a file");
        if claim.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            // The lock ends with the process, and is not inherited.
            mem::forget(claim);
            return port;
        }
    }
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program that `scripts/setup.sh` put into the Python environment.
pub fn venv(program: &str) -> PathBuf {
    let path = repository().join(".cache/venv/bin").join(program);
    assert!(
        path.exists(),
        "{} is missing; run scripts/setup.sh",
        path.display()
    );
    path
}

/// A password that occurs nowhere by chance, so that a scan for it proves something.
pub fn new_password() -> String {
    format!("pw-{}", uuid::Uuid::new_v4().simple())
}

/// A command that dies with the thread that starts it where the system can do
/// that (`setpriv` execs, so the pid stays that of the program).
pub fn tethered(program: impl AsRef<std::ffi::OsStr>, signal: &str, user: Option<&str>) -> Command {
    let drop_to = user.filter(|_| nix::unistd::geteuid().is_root());
    if Path::new("/usr/bin/setpriv").exists() {
        let mut command = Command::new("/usr/bin/setpriv");
        if let Some(user) = drop_to {
            command.args([
                &format!("--reuid={user}"),
                &format!("--regid={user}"),
                "--init-groups",
            ]);
        }
        command.args(["--pdeathsig", signal, "--"]).arg(program);
        command
    } else if let Some(user) = drop_to {
        let mut command = Command::new("runuser");
        command.args(["-u", user, "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

/// Ends a child: asks first, insists after `patience`.
pub fn end(
    child: &mut std::process::Child,
    ask: nix::sys::signal::Signal,
    patience: std::time::Duration,
) {
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    if nix::sys::signal::kill(pid, ask).is_ok() {
        let deadline = std::time::Instant::now() + patience;
        while std::time::Instant::now() < deadline {
            if matches!(child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
    // Already gone is as good.
    let _ = child.kill();
    let _ = child.wait();
}
