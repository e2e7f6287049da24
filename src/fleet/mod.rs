//! Several replicas with the same configuration: a cancel request that reaches one of them
//! although its session is at another one.
//!
//! A client asks for a cancel over a new connection, which a load balancer may send to any
//! replica. The key of the client therefore says, under the key that all replicas have, where its
//! session is, and the replica that gets the request passes it on.
//!
//! * `key`     the key of the fleet, and the keys derived from it
//! * `sealed`  keys of protocol 3.2, in which the address of the replica is sealed
//! * `mark`    process ids of protocol 3.0, in which a mark of the replica is hidden
//! * `channel` one request and its answer between two replicas
//! * `peers`   the addresses of the other replicas
//! * `place`   the address of this one, `own` whether it leads here
//! * `request` what a replica asks another one
//! * `forward` passing a request on
//! * `door`    the listener for the other replicas
//! * `metrics` what is counted

mod channel;
mod door;
mod forward;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod key;
mod mark;
mod metrics;
mod own;
mod peers;
mod place;
mod request;
mod sealed;

pub use door::{Cancels, Door};
pub use forward::Fleet;
pub use key::KeyError;
pub use place::Replica;
pub use sealed::{SEALED, SealedKey};

use std::path::{Path, PathBuf};

/// Whether a file holds a key that can be used.
///
/// # Errors
/// [`KeyError`]
pub fn check_key(path: &Path) -> Result<(), KeyError> {
    key::FleetKey::read(path).map(|_| ())
}

/// Makes the file of a new key, which only its owner can read. A file that there is stays.
///
/// # Errors
/// [`KeyError`]
pub fn make_key(path: &Path) -> Result<(), KeyError> {
    key::FleetKey::make(path)
}

/// `[fleet]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The file of the key that all replicas have.
    pub key_file: PathBuf,
    /// Where the other replicas connect, as `host:port`.
    pub address: String,
    /// Where they find this one; `None`: it is found out.
    pub replica: Option<Replica>,
    /// Hosts and ports of the replicas; a name stands for all of its addresses.
    pub peers: Vec<(String, u16)>,
}
