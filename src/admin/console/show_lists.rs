//! SHOW LISTS and USERS.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::show::World;
use super::table::{Column, Row, int4, row, text};
use crate::access::Rule;

pub const LISTS: &[Column] = &[text("list"), int4("items")];

pub fn lists(world: &World) -> Vec<Row> {
    let context = world.proxy.context();
    let pools = world.proxy.pools();
    let mut databases: Vec<_> = pools.iter().map(|p| p.name.clone()).collect();
    databases.sort();
    databases.dedup();
    let servers: usize = pools.iter().map(|p| p.servers().len()).sum();
    let lists = [
        ("databases", databases.len()),
        ("users", rules(world).len()),
        ("peers", 0),
        ("pools", pools.len()),
        ("peer_pools", 0),
        ("free_clients", context.clients.free()),
        ("used_clients", context.sessions.len()),
        ("login_clients", 0),
        ("free_servers", 0),
        ("used_servers", servers),
        ("dns_names", 0),
        ("dns_zones", 0),
        ("dns_queries", 0),
        ("dns_pending", 0),
    ];
    let rows = lists.into_iter();
    rows.map(|(list, items)| row![list, items]).collect()
}

pub const USERS: &[Column] = &[
    text("name"),
    text("pool_size"),
    text("reserve_pool_size"),
    text("pool_mode"),
    int4("max_user_connections"),
    int4("current_connections"),
    int4("max_user_client_connections"),
    int4("current_client_connections"),
];

/// The identities that the rules give: what PgBouncer calls a user.
pub fn users(world: &World) -> Vec<Row> {
    let sessions = world.proxy.context().sessions.all();
    let row = |(name, rule): (Arc<str>, Arc<Rule>)| {
        let own = || sessions.iter().filter(|s| s.client == name);
        row![
            &*name,
            rule.pool_size.map(|n| n.to_string()).unwrap_or_default(),
            "",
            None::<&str>,
            rule.pool_size.unwrap_or(0),
            own().filter(|s| s.held().is_some()).count(),
            rule.max_clients.unwrap_or(0),
            own().count(),
        ]
    };
    rules(world).into_iter().map(row).collect()
}

/// The first rule of each name.
fn rules(world: &World) -> BTreeMap<Arc<str>, Arc<Rule>> {
    let routes = world.proxy.context().routes.load();
    let mut rules = BTreeMap::new();
    for rule in routes.policy.rules() {
        rules
            .entry(rule.name.clone())
            .or_insert_with(|| rule.clone());
    }
    rules
}
