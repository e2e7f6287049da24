//! The program as scripts see it: arguments, output, exit codes.
//!
//! * `answers`        what commands say, and about what is misspelt
//! * `codes`          exit codes
//! * `configuration`  `check`, and files that are wrong
//! * `help`           help, completions, manual pages, the schema
//! * `init`           a first configuration
//! * `log`            `audit`

mod answers;
mod codes;
mod configuration;
mod help;
mod init;
mod log;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

pub fn pgvalet(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgvalet"));
    command
        .current_dir(directory)
        .env_remove("PGVALET_LOG")
        .env_remove("PGVALET_CONFIG")
        .env_remove("PGVALET_LOG_FORMAT");
    command
}

pub fn run(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output: Output = pgvalet(directory).args(arguments).output().expect("runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

pub fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

pub const VALID: &str = r#"
[database.orders]
secret = "prod/orders"

[[client]]
name = "orders-api"
network = ["10.0.0.0/8"]
databases = ["orders"]
"#;

pub fn with_config(text: &str) -> tempfile::TempDir {
    let directory = directory();
    fs::create_dir(directory.path().join("config")).expect("made");
    fs::write(directory.path().join("config/pgvalet.toml"), text).expect("written");
    directory
}
