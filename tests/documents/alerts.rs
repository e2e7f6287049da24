//! What can be wrong is documented, and has an alert that says what to do.

use std::process::Command;

use pgvalet::admin::TroubleKind;
use regex::Regex;

use crate::{read, root};

#[test]
fn every_kind_of_trouble_is_documented_and_has_an_alert() {
    let rules = read("deploy/prometheus/rules.yml");
    let document = read("docs/OPERATIONS.md");
    let tests = read("deploy/prometheus/rules_test.yml");
    for kind in TroubleKind::ALL {
        assert!(rules.contains(&format!("kind=\"{kind}\"")), "{kind}");
        assert!(tests.contains(&format!("kind=\"{kind}\"")), "{kind}");
        assert!(document.contains(&format!("| `{kind}` |")), "{kind}");
    }
}

#[test]
fn every_alert_names_the_command_that_helps() {
    let rules = read("deploy/prometheus/rules.yml");
    let runbook = Regex::new(r#"runbook: "[^\n]*pgvalet [a-z]+"#).expect("a pattern");
    for alert in rules.split("- alert: ").skip(1) {
        assert!(runbook.is_match(alert), "no runbook in {alert}");
        assert!(alert.contains("severity: "), "no severity in {alert}");
    }
}

#[test]
fn the_alerts_fire_and_resolve() {
    for arguments in [
        ["check", "rules", "deploy/prometheus/rules.yml"],
        ["test", "rules", "deploy/prometheus/rules_test.yml"],
    ] {
        let run = Command::new("promtool")
            .args(arguments)
            .current_dir(root())
            .output();
        let Ok(output) = run else {
            return eprintln!("promtool is missing: scripts/setup.sh installs it");
        };
        let said = [output.stdout, output.stderr].concat();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&said)
        );
    }
}
