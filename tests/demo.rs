//! `pgvalet demo`, the real binary: it shows what it promises and leaves
//! nothing behind.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A demo whose temporary directory is one of ours, which Postgres's user may
/// enter.
struct Demo {
    child: Child,
    temporary: tempfile::TempDir,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let temporary = tempfile::tempdir().expect("a directory");
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(temporary.path(), open).expect("a mode");
        let child = Command::new(env!("CARGO_BIN_EXE_pgvalet"))
            .arg("demo")
            .args(arguments)
            .env("TMPDIR", temporary.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("pgvalet starts");
        Self { child, temporary }
    }

    /// Waits for the end and returns the output, after checking that nothing is
    /// left.
    fn end(self) -> Output {
        let output = self.child.wait_with_output().expect("pgvalet ends");
        let left: Vec<_> = std::fs::read_dir(self.temporary.path())
            .expect("a listing")
            .flatten()
            .map(|entry| entry.path())
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        let processes = processes_that_mention(self.temporary.path());
        assert!(processes.is_empty(), "still running: {processes:?}");
        output
    }
}

/// Command lines of all processes, by `ps`, which every system has.
fn processes_that_mention(path: &Path) -> Vec<String> {
    let output = Command::new("ps")
        .args(["-A", "-o", "pid=,args="])
        .output()
        .expect("ps");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| line.contains(&path.display().to_string()))
        .map(str::to_owned)
        .collect()
}

/// The number in the summary's row of this name.
fn number(summary: &str, row: &str) -> u64 {
    let line = summary
        .lines()
        .rfind(|line| line.starts_with(row))
        .unwrap_or_else(|| panic!("no row {row:?} in\n{summary}"));
    let word = line[row.len()..]
        .split_whitespace()
        .next()
        .expect("a number");
    word.replace(',', "").parse().expect("a number")
}

#[test]
fn it_rotates_without_an_error_and_leaves_nothing_behind() {
    let output = Demo::start(&["--seconds", "12", "--plain"]).end();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert_eq!(number(&stdout, "errors"), 0, "{stdout}");
    assert!(number(&stdout, "rotations") >= 2, "{stdout}");
    assert!(number(&stdout, "transactions") > 100, "{stdout}");
    assert!(number(&stdout, "ledger") > 100, "{stdout}");
    for event in ["credential.use", "secret.adopt", "drain.end"] {
        assert!(stdout.contains(event), "no {event} record in\n{stdout}");
    }
    assert!(!stdout.contains('\x1b'), "escapes without a terminal");
}

#[test]
fn a_signal_ends_it_early_and_in_order() {
    let mut demo = Demo::start(&["--seconds", "600", "--plain"]);
    let mut stdout = demo.child.stdout.take().expect("piped");
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut shown = String::new();
    // After the first rotation it ends well, whenever it ends.
    while !shown.contains("v2 adopted") {
        assert!(Instant::now() < deadline, "no adoption in\n{shown}");
        let mut buffer = [0; 4096];
        let read = stdout.read(&mut buffer).expect("output");
        assert!(read > 0, "it ended with\n{shown}");
        shown.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    let pid = Pid::from_raw(demo.child.id().cast_signed());
    kill(pid, Signal::SIGTERM).expect("it is there");
    stdout.read_to_string(&mut shown).expect("output");
    let output = demo.end();
    assert!(output.status.success(), "{shown}");
    assert_eq!(number(&shown, "errors"), 0, "{shown}");
}

#[test]
fn a_signal_while_it_starts_leaves_nothing_behind() {
    let demo = Demo::start(&["--plain"]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while std::fs::read_dir(demo.temporary.path())
        .expect("a listing")
        .next()
        .is_none()
    {
        assert!(Instant::now() < deadline, "it made no directory");
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = Pid::from_raw(demo.child.id().cast_signed());
    kill(pid, Signal::SIGTERM).expect("it is there");
    let output = demo.end();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn without_a_postgres_it_says_what_to_do() {
    let temporary = tempfile::tempdir().expect("a directory");
    let output = Command::new(env!("CARGO_BIN_EXE_pgvalet"))
        .arg("demo")
        .env("PGVALET_PG_BIN", temporary.path())
        .output()
        .expect("pgvalet starts");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    let command = ["apt-get", "dnf", "zypper", "apk", "pacman", "brew"]
        .iter()
        .any(|manager| stderr.contains(&format!("This installs one: {manager} ")));
    assert!(command, "{stderr}");
}
