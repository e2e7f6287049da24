//! What the scripts of packages do with a pgvalet that runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::scene::Scene;
use crate::common::repository;

/// A `systemctl` that knows one unit, of which the newest process that is ready is the main one.
const SYSTEMCTL: &str = r#"#!/bin/sh
case $1 in
list-units) echo "pgvalet.service loaded active running pgvalet" ;;
show) sed -n 's/.* is running, pid \([0-9]*\).*/\1/p' "$LOG" | tail -n 1 ;;
*) exit 1 ;;
esac
"#;

async fn replace_running(scene: &Scene, seconds: &str) -> String {
    let bin = scene.proxy.directory().join("bin");
    fs::create_dir_all(&bin).expect("a directory");
    let systemctl = bin.join("systemctl");
    fs::write(&systemctl, SYSTEMCTL).expect("written");
    fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755)).expect("a mode");
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let mut script = Command::new("sh");
    script
        .arg(repository().join("deploy/packages/replace-running"))
        .arg(seconds)
        .env("PATH", path)
        .env("LOG", scene.proxy.directory().join("stderr"));
    let output = tokio::task::spawn_blocking(move || script.output().expect("sh runs"));
    let output = output.await.expect("no panic");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_replaces_what_runs_and_ends_no_session() {
    let mut scene = Scene::start("", "").await;
    let session = scene.proxy.connect("app").await;
    // A program that cannot take over.
    scene.install_script("#!/bin/sh\nexit 1\n", 0o755);
    let said = replace_running(&scene, "2").await;
    assert!(said.contains("goes on with the program before"), "{said}");
    assert_eq!(session.value("select 1").await, "1");
    scene.install();
    let said = replace_running(&scene, "60").await;
    assert_eq!(said, "");
    scene.old_ends().await;
    scene.find_successors();
    assert_eq!(scene.successors.len(), 1);
    assert_eq!(session.value("select 2").await, "2");
    scene.audit_holds();
}
