//! SHOW STATS, STATS_TOTALS, STATS_AVERAGES and TOTALS.
//!
//! A clock for every message would cost too much: how long transactions and queries take is found
//! by looking at the sessions twice a second. Prepared statements are counted where they are kept,
//! not by database: where PgBouncer counts them, there is 0.

use super::averages::{Counted, totals as counted};
use super::show::World;
use super::table::{Cell, Column, Row, numeric, row, text};

pub const STATS: &[Column] = &[
    text("database"),
    numeric("total_server_assignment_count"),
    numeric("total_xact_count"),
    numeric("total_query_count"),
    numeric("total_received"),
    numeric("total_sent"),
    numeric("total_xact_time"),
    numeric("total_query_time"),
    numeric("total_wait_time"),
    numeric("total_client_parse_count"),
    numeric("total_server_parse_count"),
    numeric("total_bind_count"),
    numeric("avg_server_assignment_count"),
    numeric("avg_xact_count"),
    numeric("avg_query_count"),
    numeric("avg_recv"),
    numeric("avg_sent"),
    numeric("avg_xact_time"),
    numeric("avg_query_time"),
    numeric("avg_wait_time"),
    numeric("avg_client_parse_count"),
    numeric("avg_server_parse_count"),
    numeric("avg_bind_count"),
];

pub const TOTALS_OF_EACH: &[Column] = &[
    text("database"),
    numeric("server_assignment_count"),
    numeric("xact_count"),
    numeric("query_count"),
    numeric("bytes_received"),
    numeric("bytes_sent"),
    numeric("xact_time"),
    numeric("query_time"),
    numeric("wait_time"),
    numeric("client_parse_count"),
    numeric("server_parse_count"),
    numeric("bind_count"),
];

pub const AVERAGES_OF_EACH: &[Column] = &[
    text("database"),
    numeric("server_assignment_count"),
    numeric("xact_count"),
    numeric("query_count"),
    numeric("bytes_received"),
    numeric("bytes_sent"),
    numeric("xact_time"),
    numeric("query_time"),
    numeric("wait_time"),
    numeric("avg_client_parse_count"),
    numeric("avg_server_parse_count"),
    numeric("avg_bind_count"),
];

pub const TOTALS: &[Column] = &[text("name"), numeric("value")];

/// The eleven numbers of one database, in PgBouncer's order.
fn numbers(c: &Counted) -> Row {
    let zero = 0_u64;
    row![
        c.assignments,
        c.transactions,
        c.queries,
        c.received,
        c.sent,
        c.in_transaction,
        c.at_work,
        c.waited,
        zero,
        zero,
        zero
    ]
}

fn named(name: &str, numbers: impl IntoIterator<Item = Cell>) -> Row {
    std::iter::once(Cell::from(name)).chain(numbers).collect()
}

pub fn stats(world: &World) -> Vec<Row> {
    let totals = counted(&world.proxy.pools());
    let averages = world.averages.now(&totals);
    let rows = totals.iter().zip(averages.values());
    rows.map(|((name, total), average)| {
        let both = numbers(total).into_iter().chain(numbers(average));
        named(name, both)
    })
    .collect()
}

pub fn totals_of_each(world: &World) -> Vec<Row> {
    let totals = counted(&world.proxy.pools());
    let rows = totals.iter();
    rows.map(|(name, total)| named(name, numbers(total)))
        .collect()
}

pub fn averages_of_each(world: &World) -> Vec<Row> {
    let averages = world.averages.now(&counted(&world.proxy.pools()));
    let rows = averages.iter();
    rows.map(|(name, average)| named(name, numbers(average)))
        .collect()
}

/// The same of all databases together.
pub fn totals(world: &World) -> Vec<Row> {
    const NAMES: [&str; 11] = [
        "server_assignment_count",
        "xact_count",
        "query_count",
        "client_bytes",
        "server_bytes",
        "xact_time",
        "query_time",
        "wait_time",
        "ps_client_parse_count",
        "ps_server_parse_count",
        "ps_bind_count",
    ];
    let totals = counted(&world.proxy.pools());
    let averages = world.averages.now(&totals);
    let (mut total, mut average) = (Counted::default(), Counted::default());
    totals.values().for_each(|c| total.add(c));
    averages.values().for_each(|c| average.add(c));
    let mut rows = Vec::new();
    for (prefix, counted) in [("total", total), ("avg", average)] {
        for (name, number) in NAMES.iter().zip(numbers(&counted)) {
            rows.push(named(&format!("{prefix}_{name}"), [number]));
        }
    }
    rows
}
