//! The real command line.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

pub const PGVALET: &str = env!("CARGO_BIN_EXE_pgvalet");

/// Credentials that stand-ins for AWS do not look at.
pub const AWS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
];

/// Credentials for a store that does look at them are in `aws.env` beside the
/// configuration: a line each, `NAME=VALUE`.
fn environment(config: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(config.with_file_name("aws.env")).unwrap_or_default();
    let pair = |line: &str| {
        let (name, value) = line.split_once('=').expect("NAME=VALUE");
        (name.to_owned(), value.to_owned())
    };
    text.lines().map(pair).collect()
}

/// `pgvalet --config FILE ARGS…` with `stdin`.
pub fn pgvalet(config: &Path, args: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(PGVALET)
        .arg("--config")
        .arg(config)
        .args(args)
        .envs(AWS)
        .envs(environment(config))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("pgvalet starts");
    let mut pipe = child.stdin.take().expect("piped");
    // A command that fails early need not read its input.
    let _ = pipe.write_all(stdin.as_bytes());
    drop(pipe);
    child.wait_with_output().expect("pgvalet ends")
}

/// Runs a command that must succeed; its output.
pub fn pgvalet_ok(config: &Path, args: &[&str], stdin: &str) -> String {
    let output = pgvalet(config, args, stdin);
    assert!(
        output.status.success(),
        "pgvalet {args:?} failed: {}{}",
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout)
    );
    String::from_utf8(output.stdout).expect("text")
}
