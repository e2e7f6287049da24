//! Rights that a running proxy has given up: root, and being looked into.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::{User, getegid, geteuid, getgrouplist};

use crate::common::binaries::client_program;
use crate::common::{Cluster, Proxy, ProxyBuilder, cli, connect, end, eventually, new_password};

const SOON: Duration = Duration::from_secs(10);
/// A user id that nobody on this machine has.
const STRANGER: u32 = 54_321;
const GROUP: u32 = 54_322;

/// The secret of a role that is there.
async fn secret(cluster: &Cluster) -> String {
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    cluster.secret("app_user", &password)
}

fn builder(secret: &str) -> ProxyBuilder {
    Proxy::with_one_database(secret, "")
}

/// Only root can become another.
fn am_root() -> bool {
    let root = geteuid().is_root();
    if !root {
        eprintln!("NOT TESTED: only root can");
    }
    root
}

fn nobody() -> User {
    let user = User::from_name("nobody").ok().flatten();
    user.expect("a user nobody")
}

fn give(path: &Path, user: &User) {
    let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
    chown(path, Some(uid), Some(gid)).expect("given");
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        give(&entry.path(), user);
    }
}

/// Root starts it, in groups of its own, and `[listen] user` says `nobody`.
async fn dropped(builder: ProxyBuilder) -> Proxy {
    let mut proxy = builder.listen("user = \"nobody\"").prepare();
    give(proxy.directory(), &nobody());
    let mut command = Command::new("setpriv");
    command
        .args(["--groups=1,2,4242", "--pdeathsig=KILL", "--"])
        .arg(cli::PGVALET);
    proxy.run_by(command);
    proxy.wait_ready().await;
    proxy
}

fn proc(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

/// A program, as another user where root runs the tests.
fn as_user(user: u32, groups: &str, program: &Command) -> Command {
    let mut command = Command::new(program.get_program());
    if geteuid().is_root() {
        command = Command::new("setpriv");
        command
            .args([format!("--reuid={user}"), format!("--regid={user}")])
            .args([groups, "--"])
            .arg(program.get_program());
    }
    command
        .args(program.get_args())
        .current_dir("/")
        .stdin(Stdio::null());
    command
}

/// Neither a core file nor another program of the same user shows its memory.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_looks_into_its_memory() {
    let cluster = Cluster::start().await;
    let builder = builder(&secret(&cluster).await);
    let (proxy, user) = match geteuid().is_root() {
        true => (dropped(builder).await, nobody().uid),
        false => (builder.start().await, geteuid()),
    };
    let limits = fs::read_to_string(proc(proxy.pid(), "limits")).expect("its limits");
    let core = limits.lines().find(|l| l.starts_with("Max core file size"));
    let words: Vec<&str> = core.expect("a limit").split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{core:?}");

    let status = fs::read_to_string(proc(proxy.pid(), "status")).expect("its status");
    let uid = Some(user.to_string());
    assert_eq!(field(&status, "Uid:").first().cloned(), uid, "{status}");
    // The kernel gives what is not dumpable to root.
    for name in ["mem", "environ", "maps", "fd"] {
        let owner = fs::metadata(proc(proxy.pid(), name)).expect("there").uid();
        assert_eq!(owner, 0, "{name}");
    }
    let read = |pid: u32| {
        let mut cat = Command::new("cat");
        cat.arg(proc(pid, "environ"));
        let read = as_user(user.as_raw(), "--clear-groups", &cat).output();
        read.expect("cat runs").status.success()
    };
    let mut sleep = Command::new("sleep");
    sleep.arg("600");
    let mut other = as_user(user.as_raw(), "--clear-groups", &sleep)
        .spawn()
        .expect("sleep runs");
    // By then it is whose it is to be.
    eventually("it sleeps", SOON, || async {
        let name = fs::read_to_string(proc(other.id(), "comm")).ok()?;
        (name.trim() == "sleep").then_some(())
    })
    .await;
    assert!(read(other.id()), "the next check would prove nothing");
    assert!(!read(proxy.pid()), "its environment can be read");
    end(&mut other, Signal::SIGTERM, SOON);
}

/// The words after a label of /proc/PID/status.
fn field(status: &str, label: &str) -> Vec<String> {
    let line = status.lines().find_map(|line| line.strip_prefix(label));
    let line = line.unwrap_or_else(|| panic!("no {label} in {status}"));
    line.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn root_is_given_up_for_good() {
    if !am_root() {
        return;
    }
    let cluster = Cluster::start().await;
    let proxy = dropped(builder(&secret(&cluster).await)).await;
    let user = nobody();
    let (uid, gid) = (user.uid.to_string(), user.gid.to_string());
    let name = CString::new(user.name.as_str()).expect("a name");
    let groups = getgrouplist(&name, user.gid).expect("its groups");
    let mut groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
    groups.sort();
    let threads = fs::read_dir(proc(proxy.pid(), "task")).expect("its threads");
    let mut count = 0;
    for thread in threads.flatten() {
        // One that has ended meanwhile.
        let Ok(status) = fs::read_to_string(thread.path().join("status")) else {
            continue;
        };
        count += 1;
        assert_eq!(field(&status, "Uid:"), vec![uid.clone(); 4]);
        assert_eq!(field(&status, "Gid:"), vec![gid.clone(); 4]);
        let mut of_it = field(&status, "Groups:");
        of_it.sort();
        assert_eq!(of_it, groups, "root's groups are left");
        for capabilities in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(field(&status, capabilities), ["0000000000000000"]);
        }
        assert_eq!(field(&status, "NoNewPrivs:"), ["1"]);
    }
    assert!(count > 1, "a runtime has threads");
    // It serves, and what it makes is that user's.
    let session = proxy.connect("app").await;
    assert_eq!(session.value("select current_user").await, "app_user");
    assert_eq!(socket(&proxy).1, (user.uid.as_raw(), user.gid.as_raw()));
    let warned = proxy.log().contains("running as root");
    assert!(!warned, "{}", proxy.log());
}

/// Mode and owner of the unix socket.
fn socket(proxy: &Proxy) -> (u32, (u32, u32)) {
    let (directory, port) = proxy.unix();
    let found = fs::metadata(directory.join(format!(".s.PGSQL.{port}"))).expect("a socket");
    (found.mode() & 0o7777, (found.uid(), found.gid()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_unix_socket_is_whose_it_is_said_to_be() {
    let cluster = Cluster::start().await;
    let secret = secret(&cluster).await;
    let own = (geteuid().as_raw(), getegid().as_raw());
    let proxy = builder(&secret).start().await;
    assert_eq!(socket(&proxy), (0o660, own));
    connect(&proxy.unix_dsn("app")).await.expect("let in");
    drop(proxy);
    let again = "socket_mode = \"0600\"";
    let proxy = builder(&secret).listen(again).start().await;
    assert_eq!(socket(&proxy), (0o600, own));
    drop(proxy);
    if !am_root() {
        return;
    }
    let lines =
        format!("socket_owner = \"nobody\"\nsocket_group = {GROUP}\nsocket_mode = \"0660\"");
    let rule = format!("name = \"a\"\nunix_user = {STRANGER}\ndatabases = [\"app\"]");
    let proxy = builder(&secret).listen(&lines).client(&rule).start().await;
    assert_eq!(socket(&proxy), (0o660, (nobody().uid.as_raw(), GROUP)));
    // Who is in the group gets as far as the rules, and nobody else does.
    let psql = |groups: &str| -> Output {
        let mut psql = client_program("psql");
        psql.args(["-X", "-w", "-Atc", "select 1", &proxy.unix_dsn("app")]);
        let output = as_user(STRANGER, groups, &psql).output();
        output.expect("psql runs")
    };
    let member = psql(&format!("--groups={GROUP}"));
    assert!(member.status.success(), "{member:?}");
    let other = psql("--clear-groups");
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(said.contains("Permission denied"), "{said}");
}
