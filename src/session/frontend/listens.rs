//! What a client listens on by way of the pool's listening connection.

use std::collections::BTreeSet;

#[derive(Default)]
pub(in crate::session) struct Listens {
    pub shared: BTreeSet<Box<str>>,
    pub restored: Restored,
}

/// Whether the server connection in hand listens on those channels too. It has
/// to before an UNLISTEN, so that the server decides what becomes of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum Restored {
    #[default]
    No,
    /// Inside the client's transaction: gone if that, or a part of it, is
    /// rolled back.
    InTransaction,
    Yes,
}
