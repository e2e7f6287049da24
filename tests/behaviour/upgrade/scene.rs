//! A proxy that is replaced by another process, in front of a cluster.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{Cluster, Proxy, cli, eventually, new_password, tethered};

pub struct Scene {
    pub cluster: Cluster,
    pub proxy: Proxy,
    /// The processes that have replaced the first one.
    pub successors: Vec<u32>,
    /// By this name the proxy was started.
    program: PathBuf,
}

impl Scene {
    /// `listen`: more lines for `[listen]`; `database`: more lines for the database.
    pub async fn start(listen: &str, database: &str) -> Self {
        Self::before(Cluster::start().await, listen, database, &[]).await
    }

    /// A proxy to which clients may use TLS.
    pub async fn with_tls(listen: &str, database: &str) -> Self {
        Self::with_more(listen, database, &[]).await
    }

    /// The same, with more databases of the same secret: their names and their lines.
    pub async fn with_more(listen: &str, database: &str, more: &[(&str, &str)]) -> Self {
        let cluster = Cluster::start().await;
        let own = cluster.ca().parent().expect("a directory").to_owned();
        let own = own.display();
        let tls =
            format!("certificate = \"{own}/server.crt\"\nkey = \"{own}/server.key\"\n{listen}");
        Self::before(cluster, &tls, database, more).await
    }

    async fn before(cluster: Cluster, listen: &str, database: &str, more: &[(&str, &str)]) -> Self {
        let password = new_password();
        cluster.create_role("app_user", &password).await;
        let secret = cluster.secret("app_user", &password);
        let mut builder = Proxy::with_one_database(&secret, database)
            .listen(listen)
            // Which session goes where.
            .environment("PGVALET_LOG", "info,pgvalet::session=debug");
        for (name, body) in more {
            builder = builder.database(name, &format!("secret = \"app\"\n{body}"));
        }
        let proxy = builder.prepare();
        let text = fs::read_to_string(proxy.config()).expect("the configuration");
        let text = text.replace("shutdown_timeout = \"1s\"", "shutdown_timeout = \"20s\"");
        fs::write(proxy.config(), &text).expect("written");
        // For commands, whatever the proxy's own file says.
        fs::write(proxy.directory().join("good.toml"), &text).expect("written");
        let program = proxy.directory().join("pgvalet");
        symlink(cli::PGVALET, &program).expect("a link");
        let mut scene = Self {
            cluster,
            proxy,
            successors: Vec::new(),
            program,
        };
        scene
            .proxy
            .run_by(tethered(scene.program.clone(), "KILL", None));
        scene.proxy.wait_ready().await;
        scene
    }

    /// Puts a script in the place of the program.
    pub fn install_script(&self, text: &str, mode: u32) {
        fs::remove_file(&self.program).expect("removed");
        fs::write(&self.program, text).expect("written");
        fs::set_permissions(&self.program, fs::Permissions::from_mode(mode)).expect("a mode");
    }

    /// Puts one of two builds in the place of the program: this one, and the one that the
    /// environment variable `OTHER_BUILD` names, if it names any.
    pub fn install_build(&self, number: usize) {
        let build = self.proxy.directory().join(format!("build-{}", number % 2));
        if !build.exists() {
            let other = std::env::var_os("OTHER_BUILD").filter(|_| number.is_multiple_of(2));
            let from = other.unwrap_or_else(|| cli::PGVALET.into());
            fs::copy(from, &build).expect("copied");
        }
        fs::remove_file(&self.program).expect("removed");
        symlink(build, &self.program).expect("a link");
    }

    pub fn install(&self) {
        fs::remove_file(&self.program).expect("removed");
        symlink(cli::PGVALET, &self.program).expect("a link");
    }

    pub async fn try_upgrade(&self, arguments: &[&str]) -> Output {
        let config = self.proxy.directory().join("good.toml");
        let arguments: Vec<String> = ["upgrade"]
            .iter()
            .chain(arguments)
            .map(|a| (*a).to_owned())
            .collect();
        let command = move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            cli::pgvalet(&config, &arguments, "")
        };
        tokio::task::spawn_blocking(command)
            .await
            .expect("the command ran")
    }

    /// Upgrades; the pid of the new process.
    pub async fn upgrade(&mut self) -> u32 {
        let output = self.try_upgrade(&[]).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{said}{}\n{}",
            String::from_utf8_lossy(&output.stderr),
            self.proxy.log()
        );
        let pid = said
            .trim()
            .rsplit("pid ")
            .next()
            .and_then(|n| n.parse().ok());
        let pid = pid.unwrap_or_else(|| panic!("no pid: {said}"));
        self.successors.push(pid);
        pid
    }

    /// Why an upgrade fails that must fail.
    pub async fn refused(&self, arguments: &[&str]) -> String {
        let output = self.try_upgrade(arguments).await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// The processes of which the log says that they run, and that do.
    pub fn find_successors(&mut self) {
        let log = self.proxy.log();
        let pids = log
            .lines()
            .filter_map(|l| l.rsplit_once(" is running, pid ")?.1.parse().ok());
        let alive = pids.filter(|pid| *pid != self.proxy.pid() && is_alive(*pid));
        self.successors = alive.collect();
    }

    /// Waits until the first process has ended by itself.
    pub async fn old_ends(&mut self) {
        let status = self.proxy.wait_exit(Duration::from_secs(30)).await;
        assert!(status.success(), "{status}\n{}", self.proxy.log());
    }

    /// Every record of the log is there, in one tree.
    pub fn audit_holds(&self) {
        let output = cli::pgvalet(&self.proxy.config(), &["audit", "verify"], "");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{output:?}");
        let gaps = self.proxy.audit_of("gap");
        assert!(gaps.is_empty(), "{gaps:?}");
    }
}

pub fn is_alive(pid: u32) -> bool {
    // A process that has ended stays as a zombie until somebody asks for its status.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    state.is_some_and(|state| state != 'Z')
}

pub async fn ends(pid: u32) {
    eventually("the process ends", Duration::from_secs(30), || async {
        (!is_alive(pid)).then_some(())
    })
    .await;
}

pub fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).expect("the process is there");
}

impl Drop for Scene {
    fn drop(&mut self) {
        let left = || self.successors.iter().copied().filter(|pid| is_alive(*pid));
        for pid in left() {
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM);
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        while left().next().is_some() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        for pid in left() {
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
    }
}
