//! The systemd units in deploy/ restrict what the service may do.

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

#[test]
fn a_service_of_several_is_like_the_one() {
    let several = read("deploy/pgvalet@.service");
    let several: Vec<&str> = several.lines().filter(|l| !l.starts_with('#')).collect();
    let one = unit()
        .replace("pgvalet, a", "pgvalet %i, a")
        .replace("/etc/pgvalet/pgvalet.toml", "/etc/pgvalet/%i.toml")
        .replace("StateDirectory=pgvalet\n", "StateDirectory=pgvalet/%i\n")
        .replace(
            "RuntimeDirectory=pgvalet\n",
            "RuntimeDirectory=pgvalet/%i\n",
        )
        .replace("=/var/lib/pgvalet\n", "=/var/lib/pgvalet/%i\n");
    let one: Vec<&str> = one.lines().filter(|l| !l.starts_with('#')).collect();
    assert_eq!(several, one);
}

fn analyze(arguments: &[&str]) -> std::io::Result<std::process::Output> {
    Command::new("systemd-analyze").args(arguments).output()
}

/// systemd's own opinion, where there is one; its figure is of tenths, and
/// smaller is better.
#[test]
fn systemd_takes_the_units_for_good_ones() {
    let Ok(version) = analyze(&["--version"]) else {
        eprintln!("NOT TESTED: systemd-analyze is not installed");
        return;
    };
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let version = version.split_whitespace().nth(1);
    let version: u32 = version.and_then(|v| v.parse().ok()).unwrap_or_default();
    let directory = tempfile::tempdir().expect("a directory");
    // Side by side: a socket is verified with its service.
    for name in ["pgvalet.service", "pgvalet@.service", "pgvalet.socket"] {
        let text = read(format!("deploy/{name}"));
        let here = text.replace("/usr/local/bin/pgvalet", env!("CARGO_BIN_EXE_pgvalet"));
        fs::write(directory.path().join(name), here).expect("written");
    }
    for name in ["pgvalet.service", "pgvalet@one.service", "pgvalet.socket"] {
        // systemd-analyze finds a template by the name of an instance.
        let path = directory.path().join(name);
        if !path.exists() {
            let template = directory.path().join("pgvalet@.service");
            fs::copy(template, &path).expect("copied");
        }
        let path = path.to_str().expect("a path");
        let mut wanted = vec![vec!["verify", "--man=no", path]];
        if version >= 250 && name.ends_with(".service") {
            wanted.push(vec!["security", "--offline=true", "--threshold=20", path]);
        }
        for arguments in wanted {
            let output = analyze(&arguments).expect("systemd-analyze runs");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{arguments:?}: {said}");
            // Directives that it does not know are no error to it.
            assert!(!said.contains(&format!("{name}:")), "{said}");
        }
    }
}
