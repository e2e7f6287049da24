//! SHOW POOLS.

use std::collections::HashMap;

use super::show::World;
use super::table::{Column, Row, int4, row, text};
use super::{show_clients, show_servers};
use crate::pool::Pool;

pub const COLUMNS: &[Column] = &[
    text("database"),
    text("user"),
    int4("cl_active"),
    int4("cl_waiting"),
    int4("cl_active_cancel_req"),
    int4("cl_waiting_cancel_req"),
    int4("sv_active"),
    int4("sv_active_cancel"),
    int4("sv_being_canceled"),
    int4("sv_idle"),
    int4("sv_used"),
    int4("sv_tested"),
    int4("sv_login"),
    int4("maxwait"),
    int4("maxwait_us"),
    text("pool_mode"),
    text("load_balance_hosts"),
    // PgBouncer has none of these.
    int4("fleet_share"),
    int4("fleet_size"),
    int4("fleet_replicas"),
];

pub fn pools(world: &World) -> Vec<Row> {
    let sessions = show_clients::sorted(world);
    let holders = show_servers::holders(&sessions);
    let mut clients_of: HashMap<_, usize> = HashMap::new();
    for session in &sessions {
        let pool = (session.pool.name.clone(), session.pool.secret.clone());
        *clients_of.entry(pool).or_default() += 1;
    }
    let mut rows = Vec::new();
    for pool in super::sorted_pools(world) {
        let counts = pool.counts();
        let clients = clients_of.get(&(pool.name.clone(), pool.secret.clone()));
        let clients = clients.copied().unwrap_or_default();
        let states: Vec<&str> = (pool.servers().iter())
            .map(|s| {
                let held = holders.contains_key(&std::sync::Arc::as_ptr(&s.connection.backend));
                show_servers::state(s, held)
            })
            .collect();
        let servers = |state| states.iter().filter(|s| **s == state).count();
        let wait = counts.longest_wait.unwrap_or_default();
        rows.push(row![
            &*pool.name,
            user(&pool),
            clients.saturating_sub(counts.waiting),
            counts.waiting,
            0,
            0,
            servers("active"),
            0,
            servers("being_canceled"),
            servers("idle"),
            servers("used"),
            servers("tested"),
            counts.opening,
            wait.as_secs(),
            u64::from(wait.subsec_micros()),
            pool.database().pool_mode.as_str(),
            None::<&str>,
            counts.fleet.map(|fleet| fleet.share),
            counts.fleet.map(|fleet| fleet.of),
            counts.fleet.map(|fleet| fleet.replicas),
        ]);
    }
    rows
}

/// The user with which the pool logs in; before the first login, what the secret says.
pub fn user(pool: &Pool) -> String {
    let counts = pool.counts();
    let in_force = counts.generations.first();
    let user = in_force.map(|g| g.generation.credential.username.clone());
    let known = || pool.follower.known().current.map(|c| c.username.clone());
    user.or_else(known).unwrap_or_default()
}
