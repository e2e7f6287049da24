//! SHOW DATABASES, PEERS and PEER_POOLS.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::show::World;
use super::show_pools;
use super::table::{Column, Row, int4, row, text};
use crate::pool::Pool;

pub const DATABASES: &[Column] = &[
    text("name"),
    text("host"),
    int4("port"),
    text("database"),
    text("force_user"),
    int4("pool_size"),
    int4("min_pool_size"),
    int4("reserve_pool_size"),
    int4("server_lifetime"),
    text("pool_mode"),
    text("load_balance_hosts"),
    int4("max_connections"),
    int4("current_connections"),
    int4("max_client_connections"),
    int4("current_client_connections"),
    int4("paused"),
    int4("disabled"),
];

pub const PEERS: &[Column] = &[
    int4("peer_id"),
    text("host"),
    int4("port"),
    int4("pool_size"),
];

pub const PEER_POOLS: &[Column] = &[
    int4("peer_id"),
    int4("cl_active_cancel_req"),
    int4("cl_waiting_cancel_req"),
    int4("sv_active_cancel"),
    int4("sv_login"),
];

/// A row for each database; where it has pools of several secrets, with all their connections.
pub fn databases(world: &World) -> Vec<Row> {
    let mut databases: BTreeMap<Arc<str>, Vec<Arc<Pool>>> = BTreeMap::new();
    for pool in super::sorted_pools(world) {
        let name = pool.name.clone();
        databases.entry(name).or_default().push(pool);
    }
    let mut clients: HashMap<Arc<str>, usize> = HashMap::new();
    for session in world.proxy.context().sessions.all() {
        *clients.entry(session.database().clone()).or_default() += 1;
    }
    let databases = databases.iter();
    databases
        .filter_map(|(name, pools)| {
            let clients = clients.get(name).copied().unwrap_or_default();
            database(world, pools, clients)
        })
        .collect()
}

fn database(world: &World, pools: &[Arc<Pool>], clients: usize) -> Option<Row> {
    let context = world.proxy.context();
    let main = pools.iter().find(|p| p.secret == p.database().secret);
    let main = main.or(pools.first())?;
    let database = main.database();
    let target = (main.counts().generations.first()).map(|g| g.generation.target.clone());
    let credential = main.follower.known().current;
    let configured = database.upstream.host.as_ref().map(ToString::to_string);
    let of_secret = || credential.as_ref().and_then(|c| c.host.clone());
    let host = match &target {
        Some(target) if !target.places.is_empty() => configured.or_else(of_secret),
        Some(target) => Some(target.host.to_string()),
        None => configured.or_else(of_secret),
    };
    let port = target.as_ref().map(|t| t.port);
    let dbname = target.as_ref().map(|t| t.dbname.to_string());
    let servers = pools.iter().map(|p| p.servers().len());
    Some(row![
        &**database.name(),
        host,
        port.or(database.upstream.port).unwrap_or(5432),
        dbname.or_else(|| database.upstream.dbname.clone()),
        show_pools::user(main),
        database.pool_size,
        database.min_pool_size,
        database.reserve_pool_size,
        database.server_lifetime.as_secs(),
        database.pool_mode.as_str(),
        None::<&str>,
        database.pool_size + database.reserve_pool_size,
        servers.sum::<usize>(),
        database.max_clients.unwrap_or(0),
        clients,
        context.switches.is_paused(database.name()),
        context.switches.is_disabled(database.name()),
    ])
}
