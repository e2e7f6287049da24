//! What is delivered beside the program, by pytest (tests/python/deploy): the Helm chart, the
//! schema of the configuration, the image, the bill of materials.

use std::process::{Command, Stdio};

use crate::common::{cli, repository};

/// Runs a file of tests, if this machine has what it needs.
fn pytest(file: &str) {
    let program = repository().join(".cache/deploy/bin/pytest");
    if !program.exists() {
        eprintln!("NOT TESTED: .cache/deploy is missing; scripts/setup.sh makes it");
        return;
    }
    let directory = repository().join("tests/python/deploy");
    let output = Command::new(program)
        .args(["-q", "-x", "-p", "no:cacheprovider", file])
        .current_dir(directory)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PGVALET_BINARY", cli::PGVALET)
        .stdin(Stdio::null())
        .output()
        .expect("pytest starts");
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&said)
    );
}

#[test]
fn the_helm_chart() {
    pytest("test_chart.py");
}

#[test]
fn the_schema_of_the_configuration() {
    pytest("test_schema.py");
}

#[test]
fn the_image() {
    pytest("test_image.py");
}

#[test]
fn the_bill_of_materials() {
    pytest("test_bill.py");
}

#[test]
fn the_compose_file() {
    pytest("test_compose_schema.py");
}

#[test]
fn the_shell_scripts() {
    pytest("test_scripts.py");
}
