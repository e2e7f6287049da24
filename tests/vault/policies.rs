//! Policies by the command line: attached, refused, taken away, and asked what
//! they decide.

use std::fs;

use crate::cli::pgvalet;
use crate::place::Place;

const READER: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Sid": "Read", "Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
]}"#;

/// The output of a command that must fail, from both of its streams.
fn failed(place: &Place, args: &[&str], stdin: &str) -> String {
    let output = pgvalet(&place.config(), args, stdin);
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

fn place() -> Place {
    let place = Place::new();
    place.ok(&["secret", "create", "a", "--any"], "one");
    let reader = place.path("reader.json");
    fs::write(&reader, READER).unwrap();
    let reader = reader.to_str().unwrap();
    let add = ["store", "principal", "add", "ci", "--policy", reader];
    place.ok(&add, "");
    place
}

fn resource_policy(effect: &str, principal: &str) -> String {
    format!(
        r#"{{"Version": "2012-10-17", "Statement": [
            {{"Sid": "Guard", "Effect": "{effect}", "Principal": {principal},
              "Action": "secretsmanager:GetSecretValue", "Resource": "*"}}
        ]}}"#
    )
}

#[test]
fn the_policy_of_a_secret_is_put_shown_and_taken_away() {
    let place = place();
    let said = failed(&place, &["secret", "policy", "get", "a"], "");
    assert!(
        said.contains("no policy") || said.contains("no resource policy"),
        "{said}"
    );
    let policy = resource_policy("Allow", r#"{"AWS": "arn:aws:iam::000000000000:user/ci"}"#);
    place.ok(&["secret", "policy", "put", "a"], &policy);
    let shown = place.ok(&["secret", "policy", "get", "a"], "");
    assert!(shown.contains("\"Guard\""), "{shown}");

    // Everybody, and something that is no policy: refused, and nothing changes.
    let public = resource_policy("Allow", r#""*""#);
    let said = failed(&place, &["secret", "policy", "put", "a"], &public);
    assert!(said.contains("broad access"), "{said}");
    failed(&place, &["secret", "policy", "validate", "a"], &public);
    failed(&place, &["secret", "policy", "put", "a"], "{}");
    assert_eq!(place.ok(&["secret", "policy", "get", "a"], ""), shown);
    place.ok(&["secret", "policy", "put", "a", "--allow-public"], &public);

    place.ok(&["secret", "policy", "delete", "a"], "");
    failed(&place, &["secret", "policy", "get", "a"], "");
}

#[test]
fn a_simulation_names_the_statement_that_decides() {
    let place = place();
    let ask = |action: &'static str| {
        let mut args = vec!["store", "policy", "simulate", "--principal", "ci"];
        args.extend(["--secret", "a", "--action", action]);
        args
    };
    let said = place.ok(&ask("GetSecretValue"), "");
    assert!(said.contains("Read"), "{said}");
    let said = failed(&place, &ask("DeleteSecret"), "");
    assert!(said.contains("no") && !said.contains("Read"), "{said}");

    // As if the secret had a policy that says otherwise: Deny wins.
    let deny = place.path("deny.json");
    let policy = resource_policy("Deny", r#"{"AWS": "arn:aws:iam::000000000000:user/ci"}"#);
    fs::write(&deny, policy).unwrap();
    let mut args = ask("GetSecretValue");
    args.extend(["--resource-policy", deny.to_str().unwrap()]);
    let said = failed(&place, &args, "");
    assert!(said.contains("Guard"), "{said}");
    // Which was a thought: nothing has changed.
    place.ok(&ask("GetSecretValue"), "");

    let mut json = ask("GetSecretValue");
    json.push("--json");
    let answer: serde_json::Value = serde_json::from_str(&place.ok(&json, "")).unwrap();
    assert_eq!(answer["allowed"], true);

    let mut nobody = ask("GetSecretValue");
    nobody[4] = "nobody";
    let unknown = pgvalet(&place.config(), &nobody, "");
    assert_eq!(unknown.status.code(), Some(2));
    let said = String::from_utf8(unknown.stderr).unwrap();
    assert!(said.contains("no principal nobody"), "{said}");
}
