//! Why an action was not done.

use crate::wire::SqlState;

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    #[error("there is no database \"{0}\"")]
    NoDatabase(String, Option<String>),
    #[error("no session of a client has the id {0}")]
    NoClient(u64),
    #[error("no pool uses the secret \"{0}\"")]
    NoSecret(String, Option<String>),
    #[error("{0}")]
    NotNow(String),
    #[error("{0} needs a rule with admin = true; this one says admin = \"read\"")]
    NotAllowed(&'static str),
    #[error("the audit log cannot be written, and without a record nothing is changed")]
    Audit,
    #[error("{0}")]
    Failed(String),
}

impl ActionError {
    pub fn sqlstate(&self) -> SqlState {
        SqlState(match self {
            Self::NoDatabase(..) => "3D000",
            Self::NoClient(_) | Self::NoSecret(..) => "42704",
            Self::NotNow(_) => "55000",
            Self::NotAllowed(_) => "42501",
            Self::Audit => "57P03",
            Self::Failed(_) => "58000",
        })
    }

    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoDatabase(_, Some(near)) | Self::NoSecret(_, Some(near)) => {
                Some(format!("Did you mean {near}?"))
            }
            Self::NoDatabase(_, None) => {
                Some("SHOW DATABASES in the console and `pgvalet status` list them.".to_owned())
            }
            Self::NoSecret(_, None) => {
                Some("SHOW SECRETS in the console and `pgvalet status --all` list them.".to_owned())
            }
            Self::NoClient(_) => {
                Some("SHOW CLIENTS in the console and `pgvalet clients` show the ids.".to_owned())
            }
            _ => None,
        }
    }
}
