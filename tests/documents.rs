//! What documents promise is there: every test that docs/SECURITY.md and
//! docs/ISOLATION.md name, and the walls around the service in deploy/.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `behaviour::denial::x` and the like, as they stand between backquotes.
fn named(text: &str) -> Vec<Vec<&str>> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| code.contains("::") && !code.contains('…'))
        .map(|code| code.split("::").collect())
        .collect()
}

/// Where a test of this path may stand.
fn places(modules: &[&str]) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let under = |directory: &str, modules: &[&str]| {
        let path = modules.iter().fold(root.join(directory), |p, m| p.join(m));
        vec![
            path.with_extension("rs"),
            path.join("tests.rs"),
            path.join("mod.rs"),
        ]
    };
    match modules[0] {
        "behaviour" | "rotate" | "aws_store" => under("tests", modules),
        // Of this name there are both.
        "vault" => [under("tests", modules), under("src", modules)].concat(),
        _ => under("src", modules),
    }
}

#[test]
fn every_test_that_is_named_exists() {
    assert!(check("docs/SECURITY.md", places) > 30);
    let isolation = |modules: &[&str]| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/isolation");
        vec![root.join(modules[0]).with_extension("rs")]
    };
    assert!(check("docs/ISOLATION.md", isolation) > 20);
}

/// How many tests a document names, each of which is there.
fn check(document: &str, places: impl Fn(&[&str]) -> Vec<PathBuf>) -> usize {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let text = fs::read_to_string(path).expect("the document");
    let named: Vec<_> = named(&text)
        .into_iter()
        .filter(|path| path.last() != Some(&"x"))
        .collect();
    for path in &named {
        let (function, modules) = path.split_last().expect("a path");
        let wanted = format!("fn {function}(");
        let found = places(modules).into_iter().any(|file| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            lines.iter().enumerate().any(|(n, line)| {
                let before = lines[..n].iter().rev().take_while(|l| l.starts_with('#'));
                line.contains(&wanted) && before.clone().any(|l| l.contains("test"))
            })
        });
        assert!(found, "{document} names {}", path.join("::"));
    }
    named.len()
}

fn unit() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/pgvalet.service");
    fs::read_to_string(path).expect("deploy/pgvalet.service")
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
