//! How the descriptors of the process are shared out, so that clients do not take those that
//! servers, the store, the audit log and the admin listener need.

use std::sync::Arc;

use nix::sys::resource::{Resource, getrlimit};

use crate::config::Config;
use crate::session::{Seat, Seats};

/// A connection of a client, and how far it may come.
pub enum Place {
    /// There is room for it.
    Served(Seat),
    /// There is room to tell it that there is none.
    TurnedAway(Seat),
    /// There is no room for anything.
    None,
}

/// How many clients may be connected, whatever `max_clients` says.
pub struct Descriptors {
    limit: usize,
    clients: Arc<Seats>,
    turned_away: Arc<Seats>,
}

impl Descriptors {
    pub fn new(config: &Config) -> Self {
        let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(now, _)| now);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self {
            limit,
            clients: Seats::new(for_clients(limit, servers(config))),
            turned_away: Seats::new(for_refusals(limit)),
        }
    }

    /// The ceilings of pools may be others.
    pub fn reload(&self, config: &Config) {
        self.clients
            .set_most(for_clients(self.limit, servers(config)));
    }

    /// How many clients there is room for, if there is none for another one.
    pub fn full(&self) -> Option<usize> {
        self.clients.are_taken().then(|| self.clients.most())
    }

    /// A place for a connection that was accepted.
    pub fn take(&self) -> Place {
        match (self.clients.take(), || self.turned_away.take()) {
            (Some(seat), _) => Place::Served(seat),
            (None, turned_away) => turned_away().map_or(Place::None, Place::TurnedAway),
        }
    }

    /// A place for a connection that another process has accepted.
    pub fn keep(&self) -> Seat {
        self.clients.take_anyway()
    }

    /// Whether no connection of a client is left, those of handshakes included.
    pub fn are_unused(&self) -> bool {
        self.clients.are_free() && self.turned_away.are_free()
    }

    /// Where clients are refused before `max_clients` is reached: what to do.
    pub fn warning(&self, config: &Config) -> Option<String> {
        let (most, limit) = (config.listen.max_clients, self.limit);
        let fit = self.clients.most();
        (fit < most).then(|| {
            format!(
                "[listen] max_clients = {most} does not fit: the limit of {limit} open files leaves room for {fit} clients, \
                 and more are refused; raise the limit (LimitNOFILE, ulimit -n) to {}, or lower max_clients",
                enough(most, servers(config))
            )
        })
    }
}

/// The server connections that all pools may have.
fn servers(config: &Config) -> usize {
    let uses = config.uses();
    let ceilings = uses
        .iter()
        .map(|(d, _)| d.pool_size.saturating_add(d.reserve_pool_size));
    ceilings.fold(0, usize::saturating_add)
}

/// What everything but clients and servers needs: files, listeners, the store, the admin
/// listener, cancel requests.
fn for_the_rest(limit: usize) -> usize {
    (limit / 3).clamp(48, 160)
}

/// Connections whose clients are told that there is no room.
fn for_refusals(limit: usize) -> usize {
    (limit / 16).clamp(4, 32)
}

/// Pools that may grow larger than half of the limit cannot all have what they may have.
fn for_clients(limit: usize, servers: usize) -> usize {
    let rest = limit.saturating_sub(for_the_rest(limit) + for_refusals(limit));
    rest - servers.min(rest / 2)
}

/// A limit with which so many clients fit.
fn enough(clients: usize, servers: usize) -> usize {
    let mut limit = clients;
    while for_clients(limit, servers) < clients {
        limit = limit.saturating_add(limit / 16 + 1);
    }
    limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_out_is_no_more_than_there_is() {
        for limit in [0, 40, 64, 256, 1024, 65_536, usize::MAX] {
            for servers in [0, 20, 300, 100_000] {
                let clients = for_clients(limit, servers);
                let rest = limit.saturating_sub(for_the_rest(limit) + for_refusals(limit));
                assert!(clients + servers.min(rest / 2) <= rest, "{limit} {servers}");
            }
        }
        assert_eq!(for_clients(256, 20), 135);
    }

    #[test]
    fn the_advice_is_good() {
        for (clients, servers) in [(10_000, 20), (100, 300), (1, 0), (500, 500)] {
            let limit = enough(clients, servers);
            assert!(
                for_clients(limit, servers) >= clients,
                "{clients} {servers}"
            );
        }
    }
}
