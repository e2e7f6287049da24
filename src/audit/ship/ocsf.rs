//! Records as events of the Open Cybersecurity Schema Framework (OCSF 1.9), with its profile
//! `record_integrity`. docs/AUDIT.md has the map.
//!
//! The line itself is there as `raw_data`: it is the leaf of the tree, so that whoever gets
//! events can check them against a checkpoint.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use crate::audit::fields::{client, secret, text, version};
use crate::base::hex;

/// The version of the schema.
const SCHEMA: &str = "1.9.0";

const AUTHENTICATION: u64 = 3002;
const DATASTORE_ACTIVITY: u64 = 6005;
const BASE_EVENT: u64 = 0;

const OTHER: u64 = 99;

/// Class and activity of an event.
struct Kind {
    class: u64,
    activity: u64,
}

impl Kind {
    fn of(record: &Value) -> Self {
        let (class, activity) = match text(record, "/event") {
            "session.start" | "session.deny" | "server.open" | "server.fail" => (AUTHENTICATION, 1),
            "session.end" | "server.close" => (AUTHENTICATION, 2),
            "credential.use" => (DATASTORE_ACTIVITY, 3),
            "lease" | "session.summary" => (DATASTORE_ACTIVITY, OTHER),
            "store.call" => (DATASTORE_ACTIVITY, call(text(record, "/call/eventName"))),
            _ => (BASE_EVENT, OTHER),
        };
        Self { class, activity }
    }

    fn category(&self) -> (u64, &'static str, &'static str) {
        match self.class {
            AUTHENTICATION => (3, "Identity & Access Management", "Authentication"),
            DATASTORE_ACTIVITY => (6, "Application Activity", "Datastore Activity"),
            _ => (0, "Uncategorized", "Base Event"),
        }
    }
}

/// The activity of a call of the store.
fn call(name: &str) -> u64 {
    match name {
        "GetSecretValue" | "BatchGetSecretValue" | "DescribeSecret" => 1,
        "CreateSecret" => 6,
        "DeleteSecret" => 7,
        "ListSecrets" | "ListSecretVersionIds" => 8,
        "PutSecretValue" | "UpdateSecret" | "UpdateSecretVersionStage" | "RestoreSecret" => 2,
        _ => OTHER,
    }
}

/// The event for the line of a record; `None` if that is no record. `origin` names the log.
pub fn event(line: &[u8], origin: &str) -> Option<Vec<u8>> {
    let record: Value = serde_json::from_slice(line).ok()?;
    let kind = Kind::of(&record);
    let mut event = base(&record, &kind, line, origin);
    match kind.class {
        AUTHENTICATION => authentication(&record, &mut event),
        DATASTORE_ACTIVITY => datastore_activity(&record, &mut event),
        _ => {}
    }
    let attestation = json!({ "authority_uid": origin, "chain_uid": origin });
    event.insert("attestation".into(), attestation);
    // The members are in the order of their names and all numbers are whole, so that this is the
    // canonical form of RFC 8785.
    let canonical = serde_json::to_vec(&event).ok()?;
    event["attestation"]["fingerprint"] = fingerprint(&canonical);
    serde_json::to_vec(&event).ok()
}

fn fingerprint(bytes: &[u8]) -> Value {
    let value = hex::encode(digest(&SHA256, bytes).as_ref());
    json!({ "algorithm": "SHA-256", "algorithm_id": 3, "value": value })
}

/// What every event has.
fn base(record: &Value, kind: &Kind, line: &[u8], origin: &str) -> Map<String, Value> {
    let (category, category_name, class_name) = kind.category();
    let name = text(record, "/event");
    let failed = text(record, "/outcome") == "failure" || name == "gap";
    let mut event = json!({
        "activity_id": kind.activity,
        "activity_name": name,
        "category_uid": category,
        "category_name": category_name,
        "class_uid": kind.class,
        "class_name": class_name,
        "type_uid": kind.class * 100 + kind.activity,
        "severity_id": if failed { 2 } else { 1 },
        "time": milliseconds(text(record, "/time")),
        "message": message(record),
        "status_id": if failed { 2 } else { 1 },
        "status": if failed { "Failure" } else { "Success" },
        "metadata": {
            "version": SCHEMA,
            "product": {
                "name": "pgvalet",
                "vendor_name": "pgvalet",
                "version": env!("CARGO_PKG_VERSION"),
            },
            "profiles": ["record_integrity"],
            "uid": format!("{origin}/{}", record["seq"]),
            "sequence": record["seq"],
            "event_code": name,
            "log_name": "audit",
            "log_version": record["v"].to_string(),
            "original_time": text(record, "/time"),
        },
        "raw_data": String::from_utf8_lossy(line),
        "raw_data_hash": fingerprint(line),
    });
    optional(&mut event, "status_code", text(record, "/sqlstate"));
    optional(&mut event, "status_detail", text(record, "/reason"));
    for (name, member) in [("duration", "duration_ms"), ("count", "count")] {
        if let Some(number) = record.get(member) {
            event[name] = number.clone();
        }
    }
    match event {
        Value::Object(event) => event,
        _ => Map::new(),
    }
}

fn message(record: &Value) -> String {
    let secret = secret(record);
    let of = [client(record), &secret, text(record, "/database")];
    let of: Vec<&str> = of.into_iter().filter(|t| !t.is_empty()).collect();
    format!("{} {}", text(record, "/event"), of.join(" "))
        .trim_end()
        .to_owned()
}

fn milliseconds(time: &str) -> i64 {
    let time = chrono::DateTime::parse_from_rfc3339(time);
    time.map_or(0, |time| time.timestamp_millis())
}

fn optional(to: &mut Value, name: &str, text: &str) {
    if !text.is_empty() {
        to[name] = text.into();
    }
}

/// A client and pgvalet, or pgvalet and Postgres.
fn authentication(record: &Value, event: &mut Map<String, Value>) {
    let with_postgres = text(record, "/event").starts_with("server.");
    let method = match with_postgres {
        true => text(record, "/reason"),
        false => text(record, "/identity/method"),
    };
    let mut user = json!({ "type_id": 4 });
    if with_postgres {
        optional(&mut user, "name", text(record, "/credential/user"));
        optional(&mut user, "credential_uid", version(record));
        event.insert("dst_endpoint".into(), server(record));
        event.insert("service".into(), json!({ "name": "postgresql" }));
    } else {
        let named = [client(record), text(record, "/requested_user"), "unknown"];
        let name = named
            .into_iter()
            .find(|n| !n.is_empty())
            .unwrap_or_default();
        user["name"] = name.into();
        optional(&mut user, "uid", text(record, "/identity/subject"));
        let database = text(record, "/database");
        let service = if database.is_empty() {
            "pgvalet"
        } else {
            database
        };
        event.insert("service".into(), json!({ "name": service }));
        source(record, event);
        session(record, event);
    }
    event.insert("user".into(), user);
    if !method.is_empty() && text(record, "/outcome") != "failure" {
        event.insert("auth_protocol".into(), method.into());
        event.insert("auth_protocol_id".into(), OTHER.into());
    }
}

/// A client with a version, or a call of the store.
fn datastore_activity(record: &Value, event: &mut Map<String, Value>) {
    let mut user = json!({ "type_id": 4 });
    let name = client(record);
    user["name"] = if name.is_empty() { "pgvalet" } else { name }.into();
    let first = text(record, "/uses/0/version");
    let used = version(record);
    optional(
        &mut user,
        "credential_uid",
        if used.is_empty() { first } else { used },
    );
    optional(&mut user, "uid", text(record, "/call/userIdentity/arn"));
    event.insert("actor".into(), json!({ "user": user }));
    let mut database = json!({});
    let secret = secret(record);
    let named = [text(record, "/database"), &secret, "secrets"];
    let name = named
        .into_iter()
        .find(|n| !n.is_empty())
        .unwrap_or_default();
    database["name"] = name.into();
    optional(&mut database, "uid", text(record, "/call/resources/0/ARN"));
    event.insert("database".into(), database);
    event.insert("type_id".into(), 1.into());
    source(record, event);
    if !event.contains_key("src_endpoint") {
        event.insert("src_endpoint".into(), json!({ "svc_name": "pgvalet" }));
    }
    if record.get("server").is_some() {
        event.insert("dst_endpoint".into(), server(record));
    }
}

fn server(record: &Value) -> Value {
    let mut endpoint = json!({ "svc_name": "postgresql" });
    optional(&mut endpoint, "hostname", text(record, "/server/host"));
    if let Some(port) = record.pointer("/server/port") {
        endpoint["port"] = port.clone();
    }
    endpoint
}

/// The client's address.
fn source(record: &Value, event: &mut Map<String, Value>) {
    let source = text(record, "/source");
    if source.is_empty() {
        return;
    }
    let endpoint = match source.parse::<std::net::SocketAddr>() {
        Ok(address) => json!({ "ip": address.ip().to_string(), "port": address.port() }),
        Err(_) => match source.parse::<std::net::IpAddr>() {
            Ok(ip) => json!({ "ip": ip.to_string() }),
            Err(_) => json!({ "name": source }),
        },
    };
    event.insert("src_endpoint".into(), endpoint);
}

fn session(record: &Value, event: &mut Map<String, Value>) {
    let (proxy, id) = (text(record, "/proxy"), text(record, "/session"));
    if !id.is_empty() {
        let uid = format!("{proxy}/{id}");
        event.insert("session".into(), json!({ "uid": uid }));
    }
}
