//! What the command line does with secrets is in the log, with who did it.

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
    place.ok(&["secret", "create", "a"], "hunter2hunter2");
    place.ok(&["secret", "get", "a", "--reveal"], "");
    place.ok(&["secret", "describe", "a"], "");
    let missing = pgvalet(&place.config(), &["secret", "get", "b"], "");
    assert_eq!(missing.status.code(), Some(1));
    let calls = calls(&place);
    let expected = [
        "CreateSecret",
        "GetSecretValue",
        "DescribeSecret",
        "GetSecretValue",
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

/// Somebody else holds the log: the records are beside it, and are found.
#[test]
fn beside_a_proxy_the_records_have_a_file_of_their_own() {
    let place = Place::new();
    place.ok(&["secret", "create", "a"], "one");
    let log = std::fs::File::open(place.path("audit.jsonl")).unwrap();
    log.lock().unwrap();
    place.ok(&["secret", "put", "a"], "two");
    assert!(place.path("audit.cli-1.jsonl").exists());
    drop(log);
    place.ok(&["secret", "get", "a"], "");
    let expected = ["CreateSecret", "PutSecretValue", "GetSecretValue"];
    assert_eq!(names(&calls(&place)), expected, "in the order of time");
    let verified = place.path("audit.cli-1.jsonl");
    place.ok(&["audit", "verify", verified.to_str().unwrap()], "");
}

/// No record, no deed.
#[test]
fn what_cannot_be_recorded_is_not_done() {
    let place = Place::new();
    place.ok(&["secret", "create", "a"], "one");
    let log = place.path("audit.jsonl");
    std::fs::remove_file(&log).unwrap();
    std::fs::create_dir(&log).unwrap();
    let refused = pgvalet(&place.config(), &["secret", "put", "a"], "two");
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("could not be recorded"), "{said}");
    std::fs::remove_dir(&log).unwrap();
    assert_eq!(place.ok(&["secret", "get", "a", "--reveal"], ""), "one\n");
}
