//! Disks that are full: that of the audit log, and that of the store.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use super::talk::{End, Talk};
use crate::common::cli::PGVALET;
use crate::common::{Cluster, Proxy, eventually, new_password, tethered};

const SOON: Duration = Duration::from_secs(20);

/// A proxy with a small disk of its own, `DIRECTORY/disk`, in a mount namespace of its own.
struct Place {
    proxy: Proxy,
    cluster: Cluster,
}

/// Mounts the disk where only what runs there sees it, copies to it what is in its place, and
/// becomes what follows.
const MOUNT: &str = r#"disk=$1; shift; cp -a "$disk" "$disk.before" && mount -t tmpfs -o size=2m disk "$disk" \
    && cp -a "$disk.before/." "$disk" && exec "$@""#;

async fn place(on_disk: &[&str], audit: &str) -> Place {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let mut proxy = Proxy::with_one_database(&cluster.secret("app_user", &password), "").prepare();
    let disk = proxy.directory().join("disk");
    fs::create_dir(&disk).expect("a directory");
    let base = proxy.directory().display().to_string();
    let mut text = fs::read_to_string(proxy.config()).expect("the configuration");
    for name in on_disk {
        text = text.replace(&format!("{base}/{name}"), &format!("{base}/disk/{name}"));
        if let Ok(bytes) = fs::read(proxy.directory().join(name)) {
            fs::write(disk.join(name), bytes).expect("a file");
        }
    }
    text = text.replace("[audit]\n", &format!("[audit]\n{audit}\n"));
    fs::write(proxy.config(), text).expect("written");
    let mut command = tethered("unshare", "KILL", None);
    command.arg("--mount");
    if !nix::unistd::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command
        .args(["sh", "-c", MOUNT, "sh"])
        .arg(&disk)
        .arg(PGVALET);
    proxy.run_by(command);
    proxy.wait_ready().await;
    Place { proxy, cluster }
}

impl Place {
    /// A file on the disk, as the proxy sees it.
    fn file(&self, name: &str) -> PathBuf {
        let disk = self.proxy.directory().join("disk").join(name);
        let root = PathBuf::from(format!("/proc/{}/root", self.proxy.pid()));
        root.join(disk.strip_prefix("/").expect("absolute"))
    }

    fn fill(&self) {
        let mut filler = File::create(self.file("filler")).expect("a file");
        while filler.write_all(&[0; 512]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.file("filler")).expect("it was there");
    }

    /// Runs a program where the disk is mounted.
    fn inside(&self, program: &str, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new("nsenter")
            .args([
                "--mount",
                "--target",
                &self.proxy.pid().to_string(),
                program,
            ])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nsenter starts");
        let mut pipe = child.stdin.take().expect("piped");
        let _ = pipe.write_all(input.as_bytes());
        drop(pipe);
        child.wait_with_output().expect("it ends")
    }

    async fn come(&self) -> End {
        Talk::open(self.proxy.port).await.log_in().await
    }

    async fn serves_again(&self) {
        eventually("a client is let in", SOON, || async {
            self.come().await.is_answer().then_some(())
        })
        .await;
    }
}

/// No session without its record: new ones are refused at once, and those that are there go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_audit_log_lets_nobody_in() {
    let place = place(&["audit.jsonl"], "").await;
    let mut there = Talk::begin(place.proxy.port).await;
    assert!(there.query("select 1").await.is_answer());
    place.fill();
    let refused = eventually("a client is refused", SOON, || async {
        place.come().await.code().map(str::to_owned)
    })
    .await;
    assert_eq!(refused, "57P03");
    for _ in 0..20 {
        assert!(there.query("select 1").await.is_answer());
    }
    let health = place.proxy.get("/status").await.1;
    assert!(health.contains("audit"), "{health}");
    place.free();
    place.serves_again().await;
    let config = place.proxy.config().display().to_string();
    let verified = place.inside(PGVALET, &["--config", &config, "audit", "verify"], "");
    assert!(verified.status.success(), "{verified:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_audit_log_may_be_put_up_with() {
    let place = place(&["audit.jsonl"], "on_failure = \"continue\"").await;
    place.fill();
    for _ in 0..20 {
        let mut client = Talk::begin(place.proxy.port).await;
        assert!(client.query("select 1").await.is_answer());
    }
    eventually("it is counted", SOON, || async {
        let failures = place
            .proxy
            .metric("pgvalet_audit_failures_total", &[])
            .await;
        (failures > Some(0.0)).then_some(())
    })
    .await;
    place.free();
    let config = place.proxy.config().display().to_string();
    eventually("the log is whole again", SOON, || async {
        drop(Talk::begin(place.proxy.port).await);
        let verified = place.inside(PGVALET, &["--config", &config, "audit", "verify"], "");
        verified.status.success().then_some(())
    })
    .await;
}

/// Wherever a full disk cuts what a command records, what is there is found whole, before the next
/// command has told of it and after.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_the_logs_of_commands_whole() {
    const PAGE: u64 = 4096;
    let place = place(&["audit.jsonl"], "").await;
    let config = place.proxy.config().display().to_string();
    let run = |arguments: &[&str]| {
        let arguments = [&["--config", config.as_str()][..], arguments].concat();
        place.inside(PGVALET, &arguments, "{}")
    };
    let whole = |when: &str| {
        let verified = run(&["audit", "verify"]);
        assert!(verified.status.success(), "{when}: {verified:?}");
    };
    let mut refused = 0;
    for pages in 0..10 {
        place.fill();
        let filler = File::options().write(true).open(place.file("filler"));
        let filler = filler.expect("it is there");
        let length = filler.metadata().expect("it is there").len();
        filler.set_len(length - pages * PAGE).expect("cut");
        drop(filler); // or its space is not free when it is removed
        // The first ones make the log; the others go on with it.
        for _ in 0..4 {
            let put = run(&["secret", "put", "other", "--any"]);
            let create = run(&["secret", "create", &format!("other-{pages}"), "--any"]);
            refused += usize::from(put.status.code() == Some(1));
            refused += usize::from(create.status.code() == Some(1));
        }
        place.free();
        whole(&format!("{pages} pages were left"));
        let done = run(&["secret", "list"]);
        assert!(done.status.success(), "{done:?}");
        whole(&format!("{pages} pages were left, and another command"));
    }
    assert!(refused > 0, "the disk was never full");
}

/// Nothing can be written to the store; what it has is read, and clients notice nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_store_keeps_what_is_there() {
    let place = place(&["store.db"], "").await;
    let mut there = Talk::begin(place.proxy.port).await;
    assert!(there.query("select 1").await.is_answer());
    place.fill();
    let config = place.proxy.config().display().to_string();
    let password = new_password();
    let value = place.cluster.secret("app_user", &password);
    place.proxy.watch_for(&value);
    // Larger than what is left of a page.
    let padded = value.replace('}', &format!(", \"note\": \"{}\"}}", "x".repeat(20_000)));
    let put = ["--config", &config, "secret", "put", "app", "--any"];
    let refused = place.inside(PGVALET, &put, &padded);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("full"), "{said}");
    assert!(there.query("select 1").await.is_answer());
    assert!(place.come().await.is_answer());
    place.free();
    place.cluster.alter_password("app_user", &password).await;
    let done = place.inside(PGVALET, &put, &value);
    assert!(done.status.success(), "{done:?}");
    let version = String::from_utf8_lossy(&done.stdout);
    let version = version.lines().last().expect("an id").trim().to_owned();
    place.proxy.wait_in_force("app", &version).await;
    assert!(there.query("select 1").await.is_answer());
}
