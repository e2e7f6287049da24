//! Events are what OCSF 1.9 says they are.
//!
//! `ocsf-1.9.json` has of the schema what these classes and objects need: their attributes, the
//! required ones, the numbers that may stand where there is a list of them, and of which
//! attributes there has to be one at least.

use serde_json::{Value, json};

use crate::audit::ship::ocsf::event;

fn schema() -> Value {
    serde_json::from_str(include_str!("ocsf-1.9.json")).expect("JSON")
}

/// Checks an event or an object, and the objects in it.
fn check(schema: &Value, kind: &str, value: &Value, wrong: &mut Vec<String>) {
    let definition = &schema[kind];
    let attributes = definition["attributes"].as_object();
    let attributes = attributes.unwrap_or_else(|| panic!("{kind} is not in the file"));
    let members = value.as_object().expect("an object");
    for (name, member) in members {
        let Some(of) = attributes.get(name) else {
            wrong.push(format!("{kind} has no {name}"));
            continue;
        };
        let form = of["type"].as_str().expect("a type");
        let fits = match form {
            "string" => member.as_str().is_some_and(|text| !text.is_empty()),
            "integer" => member.is_i64() || member.is_u64(),
            "strings" => member
                .as_array()
                .is_some_and(|l| l.iter().all(Value::is_string)),
            "object" => member.is_object(),
            other => {
                check(schema, other, member, wrong);
                true
            }
        };
        if !fits {
            wrong.push(format!("{kind}.{name} is no {form}: {member}"));
        }
        if let Some(allowed) = of["enum"].as_array()
            && !allowed.contains(member)
        {
            wrong.push(format!("{kind}.{name} cannot be {member}"));
        }
    }
    let names = |of: &Value| -> Vec<String> {
        let names = of.as_array().into_iter().flatten();
        names
            .filter_map(|n| n.as_str().map(str::to_owned))
            .collect()
    };
    for name in names(&definition["required"]) {
        if !members.contains_key(&name) {
            wrong.push(format!("{kind} needs {name}"));
        }
    }
    let one_of = names(&definition["at_least_one"]);
    if !one_of.is_empty() && !one_of.iter().any(|name| members.contains_key(name)) {
        wrong.push(format!("{kind} needs one of {one_of:?}"));
    }
}

fn records() -> Vec<Value> {
    let credential = json!({ "secret": "prod/orders", "arn": "arn:x", "version": "v1", "stages": [], "user": "app" });
    let server = json!({ "host": "db.example", "port": 5432, "pid": 7 });
    let call = json!({
        "eventName": "PutSecretValue",
        "userIdentity": { "userName": "root", "arn": "arn:u" },
        "requestParameters": { "secretId": "prod/orders" },
        "resources": [{ "ARN": "arn:s" }],
    });
    let uses = json!([{ "secret": "s", "version": "v1", "leases": 1 }]);
    vec![
        json!({ "event": "session.start", "session": "1", "client": "api", "source": "10.0.0.9:4711", "outcome": "success",
            "database": "orders", "identity": { "method": "network", "subject": "10.0.0.9" } }),
        json!({ "event": "session.start", "session": "1", "client": "api", "source": "unix", "outcome": "success" }),
        json!({ "event": "session.deny", "source": "10.0.0.9", "outcome": "failure", "reason": "no_rule", "sqlstate": "28000", "count": 7 }),
        json!({ "event": "session.end", "session": "1", "client": "api", "database": "orders", "duration_ms": 7, "uses": uses }),
        json!({ "event": "credential.use", "session": "1", "client": "api", "database": "orders", "credential": credential, "server": server }),
        json!({ "event": "lease", "session": "1", "client": "api", "database": "orders", "credential": credential, "server": server }),
        json!({ "event": "session.summary", "session": "1", "client": "api", "database": "orders", "uses": uses }),
        json!({ "event": "server.open", "outcome": "success", "reason": "scram", "database": "orders", "credential": credential, "server": server }),
        json!({ "event": "server.fail", "outcome": "failure", "reason": "no", "sqlstate": "28P01", "credential": credential, "server": server }),
        json!({ "event": "server.close", "reason": "idle", "credential": credential, "server": server }),
        json!({ "event": "store.call", "outcome": "success", "source": "10.0.0.9", "call": call }),
        json!({ "event": "store.call", "outcome": "failure", "reason": "AccessDenied", "call": {} }),
        json!({ "event": "rotation.step", "step": "verify", "outcome": "success", "credential": credential }),
        json!({ "event": "gap", "outcome": "failure", "reason": "killed" }),
        json!({ "event": "checkpoint", "tree": { "size": 1 } }),
        json!({ "event": "reload", "outcome": "success" }),
    ]
}

#[test]
fn every_event_is_one_of_the_schema() {
    let schema = schema();
    for mut record in records() {
        record["v"] = 2.into();
        record["seq"] = 7.into();
        record["time"] = "2026-01-02T03:04:05.678901Z".into();
        record["proxy"] = "h:1".into();
        let line = record.to_string();
        let event = event(line.as_bytes(), "pgvalet/h/1").expect("a record");
        let event: Value = serde_json::from_slice(&event).expect("JSON");
        let class = match event["class_uid"].as_u64() {
            Some(3002) => "authentication",
            Some(6005) => "datastore_activity",
            _ => "base_event",
        };
        let mut wrong = Vec::new();
        check(&schema, class, &event, &mut wrong);
        assert!(wrong.is_empty(), "{record}: {wrong:#?}");
        let type_uid = event["class_uid"]
            .as_u64()
            .zip(event["activity_id"].as_u64());
        let type_uid = type_uid.map(|(class, activity)| class * 100 + activity);
        assert_eq!(event["type_uid"].as_u64(), type_uid);
        assert_eq!(event["raw_data"], line);
    }
}

/// The version is where the schema has the id of a credential.
#[test]
fn the_version_is_the_credential_of_the_user() {
    let of = |record: &Value| -> Value {
        let event = event(record.to_string().as_bytes(), "o").expect("a record");
        serde_json::from_slice(&event).expect("JSON")
    };
    for record in records() {
        let event = of(&record);
        let user = match event["class_uid"].as_u64() {
            Some(6005) => &event["actor"]["user"],
            _ => &event["user"],
        };
        let is_use = matches!(
            record["event"].as_str(),
            Some("credential.use" | "lease" | "session.summary" | "server.open")
        );
        assert_eq!(
            user["credential_uid"] == "v1",
            is_use || record["event"] == "server.close" || record["event"] == "server.fail",
            "{record}"
        );
    }
}

/// The fingerprint is of the event without it, in its canonical form.
#[test]
fn the_fingerprint_is_of_the_event() {
    let line = records()[0].to_string();
    let bytes = event(line.as_bytes(), "o").expect("a record");
    let mut event: Value = serde_json::from_slice(&bytes).expect("JSON");
    let attestation = event["attestation"].as_object_mut().expect("an object");
    let told = attestation.remove("fingerprint").expect("there");
    let canonical = serde_json::to_vec(&event).expect("JSON");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &canonical);
    assert_eq!(told["value"], crate::base::hex::encode(digest.as_ref()));
}
