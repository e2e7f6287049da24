//! The channels that a client listens on by way of the pool's listening connection.

use std::collections::BTreeSet;

/// What a client listens on.
#[derive(Default)]
pub(in crate::session::relay) struct Listens {
    /// The channels that the listening connection listens on for this client.
    pub shared: BTreeSet<Box<str>>,
    pub restored: Restored,
}

/// Whether the client's own server connection listens on those channels, too. It has to before
/// an UNLISTEN, so that the server decides what becomes of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::session::relay) enum Restored {
    #[default]
    No,
    /// The connection listens since the client's transaction, and stops if that, or a part of it,
    /// is rolled back.
    InTransaction,
    Yes,
}
