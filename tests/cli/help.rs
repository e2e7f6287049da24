//! Help, completions, manual pages, the schema of the configuration.

use std::fs;

use crate::{directory, run};

/// Help says what a command does.
#[test]
fn the_help_of_policies_and_principals_says_what_they_do() {
    let directory = directory();
    for (arguments, parts) in [
        (
            ["secret", "policy", "--help"],
            ["Check a policy without attaching it", "Remove the policy"],
        ),
        (
            ["store", "principal", "--help"],
            [
                "prints its access key; it is not shown again",
                "Stop accepting its keys",
            ],
        ),
    ] {
        let (_, out, _) = run(directory.path(), &arguments);
        for part in parts {
            assert!(out.contains(part), "{part:?} is missing in:\n{out}");
        }
    }
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    let directory = directory();
    let (_, help, _) = run(directory.path(), &["--help"]);
    let (_, commands) = help.split_once("Commands:").expect("commands");
    let (commands, _) = commands.split_once("Options:").expect("options");
    let commands: Vec<&str> = commands
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.contains(&"run") && commands.contains(&"config"));
    for shell in ["bash", "fish", "zsh"] {
        let (code, out, err) = run(directory.path(), &["completions", shell]);
        assert_eq!(code, Some(0), "{err}");
        for command in &commands {
            assert!(out.contains(command), "{shell}: no {command}");
        }
    }
    let (code, _, err) = run(directory.path(), &["man", "--directory", "man1"]);
    assert_eq!(code, Some(0), "{err}");
    for command in &commands {
        let page = directory.path().join(format!("man1/pgvalet-{command}.1"));
        let page = fs::read_to_string(page).unwrap_or_else(|e| panic!("{command}: {e}"));
        assert!(page.contains(".SH EXAMPLES"), "{command}: no example");
    }
    assert!(
        directory
            .path()
            .join("man1/pgvalet-secret-create.1")
            .exists()
    );
    assert!(!directory.path().join("man1/pgvalet-help.1").exists());
    let (code, out, _) = run(directory.path(), &["man"]);
    assert!(code == Some(0) && out.contains(".TH pgvalet 1"), "{out}");
}

#[test]
fn the_schema_of_the_configuration_needs_no_configuration() {
    let directory = directory();
    let (code, out, err) = run(directory.path(), &["config", "schema"]);
    assert_eq!(code, Some(0), "{err}");
    let schema: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert!(schema["properties"]["database"].is_object(), "{out}");
}
