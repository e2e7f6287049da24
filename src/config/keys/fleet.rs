//! The keys of `[fleet]`.

use super::Default::{Absent, Required, Value};
use super::Effect::Restart;
use super::Kind::{List, NumberOr, Text};
use super::{FILE, Key, Table};

pub(super) static FLEET: Table = Table {
    title: "[fleet]",
    about: "\
Several replicas of pgvalet with the same configuration, so that a cancel request that reaches one of them is executed \
where its session is. [FLEET.md](FLEET.md) has examples.",
    keys: &[
        Key::new(
            "key_file",
            FILE,
            Required, Restart,
            "32 random bytes in base64 that all replicas have, as `pgvalet fleet key` makes them. A file that other users can read, or the group can write, is refused.",
        )
        .like(r#""secrets/fleet.key""#),
        Key::new(
            "address",
            Text("`host:port`"),
            Value(r#""0.0.0.0:6434""#), Restart,
            "Where the other replicas connect. Nobody without the key gets anything there.",
        )
        .like(r#""[::]:6434""#),
        Key::new(
            "replica",
            NumberOr("`host` or `host:port`"),
            Absent("the address that it listens on; if that is `0.0.0.0` or `[::]`, the one from which it reaches `peers`"), Restart,
            "Where the others find this replica: its address, or its number in `peers`, from 1.",
        )
        .like(r#""10.0.0.7""#),
        Key::new(
            "peers",
            List("`host:port`"),
            Absent("only cancel keys of protocol 3.2 are passed on, because these hold the address"), Restart,
            "The replicas, this one included or not: a list, or one name with the addresses of all, such as a headless service. It is looked up when it is needed.",
        )
        .like(r#"["pgvalet-replicas.default.svc:6434"]"#),
    ],
    elsewhere: &[(
        "fleet_size",
        "it belongs to a database: [database.NAME] fleet_size",
    )],
};
