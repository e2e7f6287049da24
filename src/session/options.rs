//! The options of `[listen]` that say how sessions begin and end.

use std::time::Duration;

use ipnet::IpNet;

/// `[listen] revoke`: when a session ends whose access has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Revoke {
    /// A session ends between transactions.
    #[default]
    Idle,
    /// A session ends at once.
    Now,
}

/// How connections are received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reception {
    /// Networks whose PROXY headers are believed, and expected.
    pub proxy_protocol: Vec<IpNet>,
    /// How long everything from accept to the end of the handshake may take.
    pub handshake_timeout: Duration,
}

/// Limits on connections whose client is not identified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// Handshakes at once, of all addresses together.
    pub max_handshakes: usize,
    /// Handshakes at once of one address.
    pub max_handshakes_per_address: usize,
    /// Denials of one address that have a record of their own, per second.
    pub denials_per_second: u32,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            max_handshakes: 2000,
            max_handshakes_per_address: 200,
            denials_per_second: 20,
        }
    }
}
