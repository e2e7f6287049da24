//! The systemd unit in deploy/ restricts what the service may do.

use std::fs;
use std::process::Command;

use crate::read;

fn unit() -> String {
    read("deploy/pgvalet.service")
}

#[test]
fn the_service_runs_between_walls() {
    let unit = unit();
    let lines: Vec<&str> = unit.lines().collect();
    for line in [
        "Type=notify",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "User=pgvalet",
        "StateDirectoryMode=0700",
        "LimitCORE=0",
        "CapabilityBoundingSet=",
        "MemoryDenyWriteExecute=yes",
        "NoNewPrivileges=yes",
        "PrivateDevices=yes",
        "PrivateTmp=yes",
        "ProtectHome=yes",
        "ProtectKernelTunables=yes",
        "ProtectSystem=strict",
        // The last for sock_diag: whose a connection over loopback is.
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
        "RestrictNamespaces=yes",
        "RestrictSUIDSGID=yes",
        "SystemCallArchitectures=native",
        "UMask=0077",
    ] {
        assert!(lines.contains(&line), "{line} is missing");
    }
    // In this order: what is taken away may not be more than what is needed.
    let filters: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="))
        .collect();
    assert_eq!(filters, ["@system-service", "~@privileged", "@chown"]);
}

/// systemd's own opinion, where there is one; its figure is of tenths, and
/// smaller is better.
#[test]
fn systemd_takes_the_service_for_a_good_one() {
    let analyze = |arguments: &[&str]| Command::new("systemd-analyze").args(arguments).output();
    let Ok(version) = analyze(&["--version"]) else {
        eprintln!("NOT TESTED: systemd-analyze is not installed");
        return;
    };
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let version = version.split_whitespace().nth(1);
    let version: u32 = version.and_then(|v| v.parse().ok()).unwrap_or_default();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("pgvalet.service");
    let here = unit().replace("/usr/local/bin/pgvalet", env!("CARGO_BIN_EXE_pgvalet"));
    fs::write(&path, here).expect("written");
    let path = path.to_str().expect("a path");
    let mut wanted = vec![vec!["verify", "--man=no", path]];
    if version >= 250 {
        wanted.push(vec!["security", "--offline=true", "--threshold=20", path]);
    }
    for arguments in wanted {
        let output = analyze(&arguments).expect("systemd-analyze runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        // Directives that it does not know are no error to it.
        assert!(!said.contains("pgvalet.service:"), "{said}");
    }
}
