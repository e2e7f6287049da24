//! Keys of `[listen]` that say how sessions begin and end.

/// When a session ends whose access has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Revoke {
    /// Between transactions.
    #[default]
    Idle,
    Now,
}

/// How many may knock at once, before pgvalet knows who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// Handshakes at once, of everybody together and of one address.
    pub max_handshakes: usize,
    pub max_handshakes_per_address: usize,
    /// How many denials of one address have a record of their own, a second.
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
