//! SHOW CLIENTS, SOCKETS, ACTIVE_SOCKETS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::DateTime;

use super::show::World;
use super::show_servers;
use super::table::{Column, Row, int4, row, text};
use crate::admin::ClientView;
use crate::net::Peer;
use crate::session::{Handle, Phase, Pin};

/// The columns of a socket, and those that SHOW SOCKETS adds.
macro_rules! socket_columns {
    ($($more:expr),*) => {
        &[
            text("type"), text("user"), text("database"), text("replication"), text("state"),
            text("addr"), int4("port"), text("local_addr"), int4("local_port"),
            text("connect_time"), text("request_time"), int4("wait"), int4("wait_us"),
            int4("close_needed"), text("ptr"), text("link"), int4("remote_pid"), text("tls"),
            text("application_name"), int4("prepared_statements"), int4("id"),
            $($more),*
        ]
    };
}

pub const COLUMNS: &[Column] = socket_columns!();

pub const SOCKETS: &[Column] = socket_columns!(
    int4("recv_pos"),
    int4("pkt_pos"),
    int4("pkt_remain"),
    int4("send_pos"),
    int4("send_remain"),
    int4("pkt_avail"),
    int4("send_avail")
);

/// Every client of a database, then those of the process before this one, and then everybody
/// who uses the console.
pub fn clients(world: &World, others: &[ClientView]) -> Vec<Row> {
    let sessions = sorted(world);
    let mut rows: Vec<Row> = sessions.iter().map(|s| client(s)).collect();
    rows.extend(others.iter().map(elsewhere));
    let mut consoles = world.proxy.context().sessions.consoles();
    consoles.sort_by_key(|c| c.id);
    for console in consoles {
        let (address, port, pid) = place(&console.evidence.peer);
        let local = console.evidence.local;
        rows.push(row![
            "C",
            &*console.user,
            &*console.database,
            "none",
            "active",
            address,
            port,
            local
                .map(|l| l.ip().to_string())
                .unwrap_or("unix".to_owned()),
            local.map_or(0, |l| l.port()),
            console.since,
            SystemTime::now(),
            0,
            0,
            0,
            format!("client {}", console.id),
            "",
            pid,
            "",
            "",
            0,
            console.id,
        ]);
    }
    rows
}

pub fn sockets(world: &World) -> Vec<Row> {
    let sessions = sorted(world);
    let clients = sessions.iter().map(|s| prefixed("cl_", client(s)));
    let servers = show_servers::servers(world);
    let servers = servers.into_iter().map(|row| prefixed("sv_", row));
    clients.chain(servers).collect()
}

/// Those that do something.
pub fn active_sockets(world: &World) -> Vec<Row> {
    let active = ["cl_active", "cl_waiting", "sv_active", "sv_tested"];
    let mut rows = sockets(world);
    rows.retain(|row| active.iter().any(|state| row[4] == (*state).into()));
    rows
}

/// The row of a socket as SHOW SOCKETS has it.
fn prefixed(prefix: &str, mut row: Row) -> Row {
    if let super::table::Cell::Text(state) = &row[4] {
        row[4] = format!("{prefix}{state}").into();
    }
    row.extend(std::iter::repeat_n(0.into(), SOCKETS.len() - COLUMNS.len()));
    row
}

pub fn sorted(world: &World) -> Vec<Arc<Handle>> {
    let mut sessions = world.proxy.context().sessions.all();
    sessions.sort_by_key(|s| s.id);
    sessions
}

/// The word for what a session does.
fn state(session: &Handle) -> &'static str {
    match session.phase() {
        _ if session.held().is_some() => "active",
        Phase::Elsewhere => "waiting",
        _ => "idle",
    }
}

fn client(session: &Handle) -> Row {
    let state = state(session);
    let since = session.unchanged_since();
    let waited = match state {
        "waiting" => since.elapsed().unwrap_or_default(),
        _ => Duration::ZERO,
    };
    let (address, port, pid) = place(&session.evidence.peer);
    let local = session.evidence.local;
    let link = session.held().map(|held| show_servers::name(&held.backend));
    row![
        "C",
        &*session.user,
        &**session.database(),
        match session.pinned() {
            Some(Pin::Replication) => "physical",
            _ => "none",
        },
        state,
        address,
        port,
        local
            .map(|l| l.ip().to_string())
            .unwrap_or("unix".to_owned()),
        local.map_or(0, |l| l.port()),
        session.since,
        since,
        waited.as_secs(),
        u64::from(waited.subsec_micros()),
        session.revoked().is_some(),
        format!("client {}", session.id),
        link.unwrap_or_default(),
        pid,
        session.tls.unwrap_or_default(),
        session.application_name.as_deref().unwrap_or_default(),
        0,
        session.id,
    ]
}

/// A client of the process before this one, which `link` names. What that does not say is empty.
fn elsewhere(client: &ClientView) -> Row {
    let state = match client.server_pid {
        Some(_) => "active",
        None => client.state.as_str(),
    };
    let (address, port) = match client.source.parse::<SocketAddr>() {
        Ok(address) => (address.ip().to_string(), address.port()),
        Err(_) => ("unix".to_owned(), 0),
    };
    let time = |text: &str| DateTime::parse_from_rfc3339(text).map(SystemTime::from);
    let now = SystemTime::now();
    let unchanged = now.checked_sub(Duration::from_millis(client.state_ms));
    row![
        "C",
        &*client.user,
        &*client.database,
        "none",
        state,
        address,
        port,
        "",
        0,
        time(&client.since).unwrap_or(now),
        unchanged.unwrap_or(now),
        0,
        0,
        0,
        format!("client {}", client.id),
        format!("process {}", client.process.unwrap_or_default()),
        0,
        "",
        client.application_name.as_deref().unwrap_or_default(),
        0,
        client.id,
    ]
}

/// Address, port and process id of a peer.
pub fn place(peer: &Peer) -> (String, u16, i32) {
    match peer {
        Peer::Tcp(address) => (address.ip().to_string(), address.port(), 0),
        Peer::Unix { pid, .. } => ("unix".to_owned(), 0, pid.unwrap_or(0)),
    }
}
