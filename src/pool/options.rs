//! How a pool is used.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolMode {
    Session,
    Transaction,
    /// As `Transaction`, and a transaction is one statement (or one query of
    /// several).
    Statement,
}

impl PoolMode {
    /// As it is written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Transaction => "transaction",
            Self::Statement => "statement",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionMigration {
    Off,
    /// To a connection of the generation in force, where everything that the
    /// session holds can be had there again.
    Safe,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainDeadlineAction {
    Wait,
    Terminate,
}
