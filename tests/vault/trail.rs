//! Acts of the command line on secrets are in the log, with who did them.

use serde_json::Value;

use crate::cli::pgvalet;
use crate::place::Place;

fn calls(place: &Place) -> Vec<Value> {
    let said = place.ok(&["audit", "query", "--event", "store.call", "--json"], "");
    let record = |line: &str| serde_json::from_str(line).unwrap();
    said.lines().map(record).collect()
}

fn names(calls: &[Value]) -> Vec<String> {
    let name = |r: &Value| r["call"]["eventName"].as_str().unwrap().to_owned();
    calls.iter().map(name).collect()
}

#[test]
fn commands_leave_records() {
    let place = Place::new();
    place.ok(&["secret", "create", "a", "--any"], "hunter2hunter2");
    place.ok(&["secret", "get", "a", "--reveal"], "");
    place.ok(&["secret", "describe", "a"], "");
    let missing = pgvalet(&place.config(), &["secret", "get", "b"], "");
    assert_eq!(missing.status.code(), Some(2));
    let calls = calls(&place);
    let expected = [
        "CreateSecret",
        "GetSecretValue",
        "DescribeSecret",
        "GetSecretValue",
        // It is asked whether the secret is there at all.
        "DescribeSecret",
        // And which ones are, one of which may have been meant.
        "ListSecrets",
    ];
    assert_eq!(names(&calls), expected);
    let user = nix::unistd::User::from_uid(nix::unistd::getuid());
    let user = user.unwrap().unwrap().name;
    for call in &calls {
        assert_eq!(call["identity"]["method"], "unix_user");
        assert_eq!(call["identity"]["subject"], user.as_str());
        assert_eq!(call["call"]["userIdentity"]["userName"], user.as_str());
        assert!(!call.to_string().contains("hunter2"));
    }
    assert_eq!(calls[3]["outcome"], "failure");
    assert_eq!(calls[3]["reason"], "ResourceNotFoundException");
}

/// The log is the proxy's: a command has a file of its own, so that it never
/// keeps a proxy from starting, and commands at the same time have several.
#[test]
fn the_records_of_commands_have_files_of_their_own() {
    let place = Place::new();
    place.ok(&["secret", "create", "a", "--any"], "one");
    assert!(!place.path("audit.jsonl").exists());
    let first = std::fs::File::open(place.path("audit.cli-1.jsonl")).unwrap();
    first.lock().unwrap();
    place.ok(&["secret", "put", "a", "--any"], "two");
    drop(first);
    place.ok(&["secret", "get", "a"], "");
    let expected = ["CreateSecret", "PutSecretValue", "GetSecretValue"];
    assert_eq!(names(&calls(&place)), expected, "in the order of time");
    for n in 1..=2 {
        let log = place.path(&format!("audit.cli-{n}.jsonl"));
        place.ok(&["audit", "verify", log.to_str().unwrap()], "");
    }
}

/// A command that cannot be recorded is not done.
#[test]
fn what_cannot_be_recorded_is_not_done() {
    let place = Place::new();
    place.ok(&["secret", "create", "a", "--any"], "one");
    // Where the logs would be there is no directory any more, but a file.
    let text = std::fs::read_to_string(place.config()).unwrap();
    let nowhere = place.path("nowhere");
    std::fs::write(&nowhere, "").unwrap();
    let log = place.path("audit.jsonl").display().to_string();
    let changed = text.replace(&log, &format!("{}/audit.jsonl", nowhere.display()));
    std::fs::write(place.config(), changed).unwrap();
    let refused = pgvalet(&place.config(), &["secret", "put", "a", "--any"], "two");
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("could not be recorded"), "{said}");
    std::fs::write(place.config(), text).unwrap();
    assert_eq!(place.ok(&["secret", "get", "a", "--reveal"], ""), "one\n");
}

/// What somebody changes of the store itself, and not of a secret, has a record too.
#[test]
fn acts_on_the_store_are_in_the_log() {
    let place = Place::new();
    place.ok(&["secret", "create", "a", "--any"], "one");
    let policy = place.path("policy.json");
    let text =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    std::fs::write(&policy, text).unwrap();
    let policy = policy.to_str().unwrap();
    place.ok(
        &["store", "principal", "add", "api", "--policy", policy],
        "",
    );
    place.ok(&["store", "principal", "list"], "");
    let backup = place.path("backup.db");
    place.ok(&["store", "backup", backup.to_str().unwrap()], "");
    let again = ["store", "principal", "add", "api", "--policy", policy];
    assert_eq!(pgvalet(&place.config(), &again, "").status.code(), Some(1));
    let said = place.ok(&["audit", "query", "--event", "admin", "--json"], "");
    let acts: Vec<Value> = said
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let shape: Vec<_> = acts
        .iter()
        .map(|r| {
            (
                r["action"].as_str().unwrap(),
                r["outcome"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("store principal add api", "success"),
        ("store backup", "success"),
        ("store principal add api", "success"),
        ("store principal add api", "failure"),
    ];
    assert_eq!(shape, expected);
    let user = nix::unistd::User::from_uid(nix::unistd::getuid());
    let user = user.unwrap().unwrap().name;
    assert!(
        acts.iter()
            .all(|r| r["client"] == user.as_str() && r["source"] == "command line")
    );
}
