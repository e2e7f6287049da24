//! What sessions measure.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::metrics::{Counter, Family, Gauge, Metrics};

const CONNECTIONS: Family<Gauge, 2> = Family::new(
    "pgvalet_client_connections",
    "Clients connected, by database and client.",
    ["database", "client"],
);

const DENIALS: Family<Counter, 1> = Family::new(
    "pgvalet_denials_total",
    "Clients that were refused, by reason.",
    ["reason"],
);

const MIGRATIONS: Family<Counter, 1> = Family::new(
    "pgvalet_session_migrations_total",
    "Sessions of session mode that moved to the version in force, by database.",
    ["database"],
);

/// The series of all sessions of a proxy.
pub struct SessionMetrics {
    registry: Arc<Metrics>,
    /// Kept because every login needs one. Both names are in the configuration, so there
    /// are few.
    connections: Mutex<HashMap<DatabaseAndClient, Gauge>>,
}

/// The names of a database and of a client.
type DatabaseAndClient = (Arc<str>, Arc<str>);

impl SessionMetrics {
    pub fn new(registry: Arc<Metrics>) -> Self {
        Self {
            registry,
            connections: Mutex::default(),
        }
    }

    /// Clients connected.
    pub fn clients(&self, database: &Arc<str>, client: &Arc<str>) -> Gauge {
        let mut connections = self.connections.lock();
        let gauge = connections.entry((database.clone(), client.clone()));
        gauge
            .or_insert_with(|| self.registry.series(&CONNECTIONS, [database, client]))
            .clone()
    }

    pub fn denial(&self, reason: &'static str) {
        self.registry.series(&DENIALS, [reason]).increment(1);
    }

    pub fn migration(&self, database: &str) {
        self.registry.series(&MIGRATIONS, [database]).increment(1);
    }
}
