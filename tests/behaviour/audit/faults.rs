//! Disks that fill up in the middle of it, and readers that stop.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio_postgres::{Config, NoTls};

use crate::common::cli::{PGVALET, pgvalet_ok};
use crate::common::{Cluster, Proxy, eventually, new_password};

/// The link leads elsewhere from now on.
fn lead(link: &Path, to: &Path) {
    let new = link.with_extension("new");
    symlink(to, &new).expect("a link");
    fs::rename(new, link).expect("renamed");
}

async fn is_let_in(proxy: &Proxy) -> bool {
    let config: Config = proxy.dsn("app").parse().expect("an address");
    config.connect(NoTls).await.is_ok()
}

/// A disk is full while sessions are open, and has room again later.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_in_mid_session_refuses_or_counts_and_recovers() {
    let cluster = Cluster::start().await;
    for on_failure in ["deny", "continue"] {
        let password = new_password();
        let role = format!("app_{on_failure}");
        cluster.create_role(&role, &password).await;
        let secret = cluster.secret(&role, &password);
        let mut proxy = Proxy::with_one_database(&secret, "pool_size = 5")
            .audit(&format!("on_failure = \"{on_failure}\""))
            .prepare();
        let log = proxy.directory().join("audit.jsonl");
        let kept = proxy.directory().join("kept.jsonl");
        symlink(&kept, &log).expect("a link");
        proxy.run();
        proxy.wait_ready().await;
        let open = proxy.connect("app").await;
        open.value("select 1").await;

        lead(&log, Path::new("/dev/full"));
        let denies = on_failure == "deny";
        eventually(
            "the disk is found to be full",
            Duration::from_secs(20),
            || async {
                let refused = !is_let_in(&proxy).await;
                let failures = proxy.metric("pgvalet_audit_failures_total", &[]).await;
                (refused == denies && failures > Some(0.0)).then_some(())
            },
        )
        .await;
        // What was let in goes on.
        assert_eq!(open.value("select 2").await, "2");
        let (code, reason) = proxy.get("/readyz").await;
        assert_eq!(
            code,
            if denies { 503 } else { 200 },
            "{on_failure}: {reason}"
        );
        if denies {
            assert!(reason.contains("audit log"), "{reason}");
        }

        lead(&log, &kept);
        let before = proxy.audit_of("session.start").len();
        eventually("it recovers", Duration::from_secs(20), || async {
            let ready = is_let_in(&proxy).await && proxy.get("/readyz").await.0 == 200;
            (ready && proxy.audit_of("session.start").len() > before).then_some(())
        })
        .await;
        let again = proxy.connect("app").await;
        assert_eq!(again.value("select 3").await, "3");
        drop((open, again));
        proxy.signal(Signal::SIGTERM);
        proxy.wait_exit(Duration::from_secs(20)).await;
        let said = pgvalet_ok(&proxy.config(), &["audit", "verify"], "");
        assert!(
            said.contains("could not be written"),
            "{on_failure}: {said}"
        );
        assert!(said.contains("are whole"), "{on_failure}: {said}");
    }
}

/// A reader of standard output that stops reading holds up nobody for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_is_a_log_that_cannot_be_written() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let secret = cluster.secret("app_user", &password);
    let mut proxy = Proxy::with_one_database(&secret, "pool_size = 5")
        .audit("path = \"stdout\"")
        .prepare();
    // The shell gives its output to a reader that does not read. It becomes pgvalet itself, so
    // that signals reach that.
    let pipe = proxy.directory().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let reader = fs::File::options()
        .read(true)
        .write(true)
        .open(&pipe)
        .expect("opened");
    let mut shell = Command::new("sh");
    let script = format!("exec {PGVALET} \"$@\" >{}", pipe.display());
    shell.args(["-c", &script, "sh"]).stderr(Stdio::null());
    proxy.run_by(shell);
    proxy.wait_ready().await;
    let mut let_in = 0;
    while is_let_in(&proxy).await {
        let_in += 1;
        assert!(let_in < 2000, "the pipe is never full");
    }
    assert!(let_in > 20, "{let_in}");
    let (code, reason) = proxy.get("/readyz").await;
    assert_eq!(code, 503);
    assert!(reason.contains("stdout"), "{reason}");
    proxy.signal(Signal::SIGTERM);
    proxy.wait_exit(Duration::from_secs(20)).await;
    drop(reader);
}
