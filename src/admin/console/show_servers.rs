//! SHOW SERVERS.

use std::collections::HashMap;
use std::sync::Arc;

use super::show::World;
use super::show_clients;
use super::table::{Column, Row, row};
use crate::pool::{Pool, ServerUse, ServerView};
use crate::session::{Handle, Pin};
use crate::upstream::Backend;

pub const COLUMNS: &[Column] = show_clients::COLUMNS;

pub fn servers(world: &World) -> Vec<Row> {
    let sessions = show_clients::sorted(world);
    let holders = holders(&sessions);
    let mut rows = Vec::new();
    for pool in super::sorted_pools(world) {
        for server in pool.servers() {
            let holder = holders.get(&Arc::as_ptr(&server.connection.backend));
            rows.push(server_row(&pool, &server, holder.copied()));
        }
    }
    rows
}

/// Which session holds which server connection.
pub fn holders(sessions: &[Arc<Handle>]) -> HashMap<*const Backend, &Arc<Handle>> {
    let held = |s: &Arc<Handle>| Some(Arc::as_ptr(&s.held()?.backend));
    let pair = |s| Some((held(s)?, s));
    sessions.iter().filter_map(pair).collect()
}

/// The name of a server connection in the columns `ptr` and `link`.
pub fn name(backend: &Backend) -> String {
    format!("server {} {}", backend.pid, backend.target)
}

/// What a server connection does.
pub fn state(server: &ServerView, is_held: bool) -> &'static str {
    match server.used_for {
        ServerUse::Idle => "idle",
        ServerUse::Stale => "used",
        ServerUse::Held if server.connection.backend.has_cancel_in_flight() => "being_canceled",
        ServerUse::Held if is_held => "active",
        // It is being cleaned, tried, or listens for clients.
        ServerUse::Held => "tested",
    }
}

fn server_row(pool: &Pool, server: &ServerView, holder: Option<&Arc<Handle>>) -> Row {
    let connection = &server.connection;
    let backend = &connection.backend;
    let (address, port) = match backend.address {
        Some(address) => (address.ip().to_string(), address.port()),
        None => ("unix".to_owned(), backend.target.port),
    };
    let local = connection.local;
    let replicates = holder.is_some_and(|h| h.pinned() == Some(Pin::Replication));
    row![
        "S",
        &*server.generation.credential.username,
        &*pool.name,
        if replicates { "physical" } else { "none" },
        state(server, holder.is_some()),
        address,
        port,
        local
            .map(|l| l.ip().to_string())
            .unwrap_or("unix".to_owned()),
        local.map_or(0, |l| l.port()),
        connection.since,
        holder.map_or(connection.since, |h| h.unchanged_since()),
        0,
        0,
        server.is_outdated,
        name(backend),
        holder.map_or(String::new(), |h| format!("client {}", h.id)),
        backend.pid.0,
        connection.tls.unwrap_or_default(),
        holder
            .and_then(|h| h.application_name.as_deref())
            .unwrap_or_default(),
        server.prepared,
        backend.pid.0,
    ]
}
