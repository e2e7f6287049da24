//! The keys of `[runtime]`.

use super::Default::Absent;
use super::Effect::Restart;
use super::Kind::Number;
use super::{Key, Table};

pub(super) static RUNTIME: Table = Table {
    title: "[runtime]",
    about: "What pgvalet takes of the machine.",
    keys: &[Key::new(
        "workers",
        Number(1, 1024),
        Absent("half as many as there are cores, and at least one"),
        Restart,
        "How many threads move bytes. More of them pay on a machine that pgvalet has to itself ([PERFORMANCE.md](PERFORMANCE.md)).",
    )
    .like("4")],
    elsewhere: &[],
};
