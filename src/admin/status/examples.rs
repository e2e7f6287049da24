//! Examples of a status, for tests.

use super::*;
use crate::admin::{Place, TroubleKind};

/// A proxy with a database that is down, and one without trouble.
pub(crate) fn troubled() -> Status {
    let orders = rotating();
    let billing = DatabaseStatus {
        name: "billing".into(),
        secret: "prod/billing".into(),
        waiting: 3,
        generations: Vec::new(),
        ..orders.databases[0].clone()
    };
    let trouble = |kind, database: Option<&str>, sentence: &str| Trouble {
        kind,
        place: Place {
            database: database.map(Into::into),
            ..Place::default()
        },
        since: "2026-01-02T04:00:00Z".to_owned(),
        sentence: sentence.to_owned(),
        remedy: "see to it".to_owned(),
    };
    Status {
        troubles: vec![
            trouble(
                TroubleKind::DatabaseDown,
                Some("billing"),
                "database billing is down: cannot reach db.example.org:5432/billing: Connection refused",
            ),
            trouble(TroubleKind::ReloadFailed, None, "the last reload failed"),
        ],
        databases: vec![orders.databases[0].clone(), billing],
        ..orders
    }
}

/// A proxy in the middle of a rotation.
pub(crate) fn rotating() -> Status {
    let generation = |number, version: &str, draining: bool| GenerationStatus {
        number,
        version: version.into(),
        stages: vec![
            if draining {
                "AWSPREVIOUS"
            } else {
                "AWSCURRENT"
            }
            .into(),
        ],
        user: "app".into(),
        adopted_at: "2026-01-02T03:04:05Z".into(),
        draining_since: draining.then(|| "2026-01-02T04:00:00Z".into()),
        active: 1,
        idle: 2,
        holders: if draining {
            vec![Holder {
                session: "s-1".into(),
                client: "orders-api".into(),
                source: "10.0.0.1:5".into(),
                since: "2026-01-02T03:59:00Z".into(),
                reason: "in a transaction".into(),
            }]
        } else {
            Vec::new()
        },
    };
    Status {
        version: "0.1.0".into(),
        pid: 42,
        started_at: "2026-01-02T03:04:05Z".into(),
        ready: true,
        unready: None,
        troubles: Vec::new(),
        databases: vec![DatabaseStatus {
            name: "orders".into(),
            secret: "prod/orders".into(),
            pool_mode: "transaction".into(),
            pool_size: 20,
            paused: false,
            clients: 7,
            waiting: 0,
            longest_wait_ms: None,
            servers: ServerCounts {
                active: 2,
                idle: 4,
                opening: 0,
            },
            fleet: None,
            pinned: BTreeMap::from([("temp".to_owned(), 1)]),
            listener: Some(ListenerStatus {
                channels: 2,
                clients: 3,
                generation: 2,
            }),
            generations: vec![
                generation(2, "22222222-bbbb", false),
                generation(1, "11111111-aaaa", true),
            ],
            last_error: None,
        }],
        secrets: vec![SecretStatus {
            secret: "prod/orders".into(),
            arn: None,
            version: Some("22222222-bbbb".into()),
            stages: vec!["AWSCURRENT".into()],
            user: Some("app".into()),
            adopted_at: Some("2026-01-02T04:00:00Z".into()),
            adopted_as: Some("AWSCURRENT".into()),
            confirmed_at: Some("2026-01-02T04:00:30Z".into()),
            last_error: Some("the store did not answer".into()),
            candidates_tried: vec![Candidate {
                version: "33333333-cccc".into(),
                standing: "AWSPENDING".into(),
                why: "the server refused the login: password authentication failed".into(),
                at: "2026-01-02T04:00:10Z".into(),
            }],
            next_rotation: Some("2026-02-01T03:17:00Z".into()),
        }],
    }
}
