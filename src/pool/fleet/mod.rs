//! One ceiling for the pools of all replicas: `[database.NAME] fleet_size`.
//!
//! Each replica has a *share* of it, and opens no more connections. The shares are kept by the
//! database's own server, as advisory locks of one session of each replica, the *ledger*: they
//! need no table and no rights, and those of a replica that dies are gone with its session.
//!
//! * `bound`   what the pool asks before it opens anything
//! * `plan`    how large the share of a replica should be
//! * `sql`     what the ledger's session says to the server
//! * `ledger`  the session, and what it has locked
//! * `session` where the pool gets that session from
//! * `kin`     the pools of this process for the same database
//! * `keep`    the task that keeps the share
//! * `stuck`   what is in its way
//!
//! What a replica may use changes in an order that never lets the sum exceed the ceiling. A share
//! grows under a lock of its own that all replicas respect, by what is free then: the ceiling
//! less the shares of the others. A share shrinks first in the pool, and on the server only when
//! as few connections are left.
//!
//! A replica that dies leaves connections behind on which the server works on for a while. So
//! the ledger also has the process id of every connection. Connections of the roles of the pool
//! that stand in no ledger count against the ceiling until they are gone.
//!
//! A replica that has lost its ledger keeps the connections that it has, and opens none until it
//! has another one: others see these connections, as those of a replica that has died.

mod bound;
mod keep;
mod kin;
mod ledger;
mod plan;
mod session;
mod sql;
mod stuck;
#[cfg(test)]
mod tests;

/// The application_name of sessions of the ledger, which do not count, from their login on.
pub(super) const LEDGER: &str = "pgvalet fleet";

pub(super) use bound::Bound;
pub use bound::FleetCounts;
pub(super) use kin::Kin;
pub use stuck::{Hindrance, Stuck, try_share};
