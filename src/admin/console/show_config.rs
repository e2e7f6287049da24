//! SHOW CONFIG, VERSION, STATE, MEM, and what of PgBouncer's has nothing to show here.

use super::show::World;
use super::table::{Column, Row, bytes, int4, int8, row, text};

pub const CONFIG: &[Column] = &[
    text("key"),
    text("value"),
    text("default"),
    text("changeable"),
];

pub fn config(world: &World) -> Vec<Row> {
    let settings = world.proxy.settings().into_iter();
    settings
        .map(|s| {
            let changeable = if s.changeable { "yes" } else { "no" };
            row![s.key, s.value, s.default, changeable]
        })
        .collect()
}

pub const VERSION: &[Column] = &[text("version")];

/// Programs look for the version of PgBouncer whose console this is.
pub fn version(_: &World) -> Vec<Row> {
    let version = concat!("PgBouncer 1.25.2 (pgvalet ", env!("CARGO_PKG_VERSION"), ")");
    vec![row![version]]
}

pub const STATE: &[Column] = &[text("key"), text("value")];

pub fn state(world: &World) -> Vec<Row> {
    let paused = world.proxy.context().switches.are_all_paused();
    let word = |yes| if yes { "yes" } else { "no" };
    vec![
        row!["active", word(!paused)],
        row!["paused", word(paused)],
        row!["suspended", "no"],
    ]
}

pub const MEM: &[Column] = &[
    text("name"),
    int4("size"),
    int4("used"),
    int4("free"),
    int4("memtotal"),
];

/// The memory of the process, in KiB: pgvalet does not keep objects in slabs.
pub fn memory(_: &World) -> Vec<Row> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let resident = field("VmRSS:").unwrap_or(0);
    let most = field("VmHWM:").unwrap_or(0);
    vec![row![
        "resident_kib",
        1024,
        resident,
        most.saturating_sub(resident),
        most
    ]]
}

/// PgBouncer hands descriptors over here; pgvalet does not.
pub const FDS: &[Column] = &[
    int4("fd"),
    text("task"),
    text("user"),
    text("database"),
    text("addr"),
    int4("port"),
    int8("cancel"),
    int4("link"),
    text("client_encoding"),
    text("std_strings"),
    text("datestyle"),
    text("timezone"),
    text("password"),
    bytes("scram_client_key"),
    bytes("scram_server_key"),
];

/// Names are resolved for each login, and not kept.
pub const DNS_HOSTS: &[Column] = &[text("hostname"), int8("ttl"), text("addrs")];

pub const DNS_ZONES: &[Column] = &[text("zonename"), int8("serial"), int4("count")];
