//! Why a command about secrets failed.

use std::io;

use crate::secret::{SecretId, StoreError};

#[derive(Debug, thiserror::Error)]
pub enum SecretCommandError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot read the value from {place}: {source}")]
    Read { place: String, source: io::Error },
    #[error("the value in {0} is not UTF-8 text; encode it, for example as base64")]
    NotText(String),
    #[error("the value in {0} is longer than the 65536 bytes that a secret can have")]
    TooLong(String),
    #[error("there is no value in {0}; give it on standard input or with --file")]
    Empty(String),
    #[error(
        "{id} is not stored, because no database could be logged in to with it: {problem}; --any stores it nevertheless"
    )]
    Useless { id: SecretId, problem: String },
    #[error("no version of {id} begins with {prefix:?}; there are {known}")]
    NoVersion {
        id: SecretId,
        prefix: String,
        known: String,
    },
    #[error("no version of {id} has the label {stage:?}{end}")]
    NoStage {
        id: SecretId,
        stage: String,
        /// What there is, or the nearest.
        end: String,
    },
    #[error("{prefix:?} is the beginning of several versions of {id}: {known}")]
    SeveralVersions {
        id: SecretId,
        prefix: String,
        known: String,
    },
    #[error("{0} has no policy")]
    NoPolicy(SecretId),
    #[error("{}", findings(.0))]
    Findings(Vec<(String, String)>),
    /// The output already says what is wrong.
    #[error("")]
    Shown,
    #[error("cannot write the answer: {0}")]
    Write(io::Error),
}

impl SecretCommandError {
    /// Whether it has to be asked differently; the others have failed.
    pub fn is_about_the_question(&self) -> bool {
        match self {
            Self::Store(StoreError::InvalidParameter(_) | StoreError::NotFound(_))
            | Self::NotText(_)
            | Self::TooLong(_)
            | Self::Useless { .. }
            | Self::NoVersion { .. }
            | Self::NoStage { .. }
            | Self::SeveralVersions { .. }
            | Self::Empty(_) => true,
            Self::Store(_)
            | Self::Read { .. }
            | Self::NoPolicy(_)
            | Self::Findings(_)
            | Self::Shown
            | Self::Write(_) => false,
        }
    }
}

fn findings(findings: &[(String, String)]) -> String {
    let lines: Vec<String> = findings
        .iter()
        .map(|(check, message)| format!("{check}: {message}"))
        .collect();
    lines.join("\n")
}
