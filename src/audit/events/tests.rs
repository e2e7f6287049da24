//! The fields that records of each event have.

use super::*;
use crate::audit::ConfigRef;
use crate::audit::checkpoint::TreeRef;

fn fields(record: &Record) -> String {
    let value = serde_json::to_value(record).expect("JSON");
    let fields = value.as_object().expect("an object").keys();
    fields.map(String::as_str).collect::<Vec<_>>().join(" ")
}

fn session() -> SessionRef {
    SessionRef {
        id: "1".into(),
        client: "app".into(),
        source: "10.0.0.1:5".into(),
        via: None,
        database: "orders".into(),
    }
}

fn credential() -> CredentialRef {
    CredentialRef {
        secret: "s".into(),
        arn: "a".into(),
        version: "v".into(),
        stages: Vec::new(),
        user: "u".into(),
    }
}

fn server() -> ServerRef {
    ServerRef {
        host: "h".into(),
        port: 5432,
        pid: None,
    }
}

fn used() -> UseRef {
    UseRef {
        secret: "s".into(),
        version: "v".into(),
        leases: 1,
        transactions: Some(1),
        bytes_in: Some(1),
        bytes_out: Some(1),
        first: String::new(),
        last: String::new(),
        pids: vec![1],
        other_pids: 0,
    }
}

/// The fields of an event are a contract with whoever reads logs.
#[test]
fn each_event_has_its_fields() {
    let cause = Cause {
        reason: "why",
        sqlstate: "57P01",
    };
    let totals = SessionTotals::default;
    let database = || Arc::<str>::from("orders");
    let pool = "credential database event";
    for (record, expected) in [
        (
            Record::session_start("1".into(), ClientRef::default()),
            "event session source",
        ),
        (
            Record::session_deny(ClientRef::default(), "no_rule", Some("28000")),
            "event outcome reason source sqlstate",
        ),
        (
            Record::sessions_denied("10.0.0.1".into(), "no_rule", 7),
            "count event outcome reason source",
        ),
        (
            Record::session_end(session(), totals(), None),
            "bytes_in bytes_out client duration_ms event session transactions",
        ),
        (
            Record::session_end(session(), totals(), Some(cause)),
            "bytes_in bytes_out client duration_ms event outcome reason session sqlstate transactions",
        ),
        (
            Record::credential_use(session(), credential(), server()),
            "client credential database event server session",
        ),
        (
            Record::server_open(database(), credential(), server(), "scram"),
            "credential database event outcome reason server",
        ),
        (
            Record::server_fail(database(), credential(), server(), cause),
            "credential database event outcome reason server sqlstate",
        ),
        (
            Record::server_close(database(), credential(), server(), "idle"),
            "credential database event reason server",
        ),
        (
            Record::secret_adopt(database(), credential()),
            "credential database event outcome",
        ),
        (
            Record::secret_fail(database(), None, "why"),
            "database event outcome reason",
        ),
        (
            Record::rotation_step("setSecret", Outcome::Failure, "why", credential()),
            "credential event outcome reason step",
        ),
        (
            Record::rotation_begin("setSecret", credential()),
            "credential event step",
        ),
        (Record::drain_start(database(), credential()), pool),
        (
            Record::drain_end(database(), credential(), Duration::ZERO),
            "credential database duration_ms event",
        ),
        (
            Record::admin(
                session(),
                Some("orders"),
                "PAUSE orders",
                Outcome::Success,
                None,
            ),
            "action client database event outcome session source",
        ),
        (
            Record::session_summary(session(), vec![used()]),
            "client database event session uses",
        ),
        (
            Record::lease(session(), credential(), server(), LeaseTotals::default()),
            "bytes_in bytes_out client credential database duration_ms event server session transactions",
        ),
        (Record::start(ConfigRef::default()), "config event"),
        (Record::reload(ConfigRef::default()), "config event outcome"),
        (
            Record::store_call(None, None, None, serde_json::Value::Null),
            "call event outcome",
        ),
        (Record::checkpoint(TreeRef::default(), None), "event tree"),
        (Record::gap("why"), "event outcome reason"),
        (Record::segment_remove("old", 7), "event reason removed"),
    ] {
        assert_eq!(fields(&record), expected, "{:?}", record.event);
    }
}

#[test]
fn a_client_is_told_of_with_all_that_is_known() {
    let text = || Some(Arc::<str>::from("x"));
    let client = ClientRef {
        source: "10.0.0.1:5".into(),
        via: text(),
        identity: Some(Arc::default()),
        database: text(),
        requested_user: text(),
        application_name: text(),
        tls: text(),
        reference: text(),
        rule: Some(("app".into(), 3)),
    };
    let record = Record::session_start("1".into(), client);
    assert_eq!(
        fields(&record),
        "application_name client database event identity ref requested_user rule session source tls via"
    );
    assert_eq!(
        (record.client.as_deref(), record.rule),
        (Some("app"), Some(3))
    );
}
