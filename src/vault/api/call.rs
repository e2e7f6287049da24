//! One operation at work: its transaction, who calls, and what the trail will
//! say of it.

use std::cell::RefCell;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::authorize::{Asked, Authorizer, On};
use super::{ApiError, Caller, Check, Rotated};
use crate::secret::{AWSCURRENT, VersionId};
use crate::vault::VaultError;
use crate::vault::secrets::{self, Secret};
use crate::vault::tx::Tx;

/// An operation: its request is parsed, checked against the service model, and
/// run in a transaction of its own.
pub trait Operation: DeserializeOwned {
    type Answer: Serialize;
    const NAME: &'static str;
    /// Whether it takes the write lock.
    const WRITES: bool;

    fn check(&self, check: &mut Check);

    fn run(self, call: &Call<'_>) -> Result<Self::Answer, ApiError>;
}

/// The operations whose answer is empty.
#[derive(Serialize)]
pub struct Nothing {}

/// What an operation was about, for the trail.
#[derive(Default, Clone)]
pub struct Subject {
    pub arn: Option<String>,
    pub version: Option<String>,
    /// What allowed or denied it last.
    pub decision: Option<String>,
}

/// A value that BatchGetSecretValue looked at: a record of its own.
pub struct Item {
    pub id: String,
    pub subject: Subject,
    pub error: Option<ApiError>,
}

#[derive(Default)]
pub struct Notes {
    pub subject: Subject,
    pub items: Vec<Item>,
    /// Versions whose first access of the day is to be written down.
    pub accessed: Vec<i64>,
}

pub struct Call<'a> {
    pub tx: &'a Tx<'a>,
    pub caller: &'a Caller,
    pub notes: &'a RefCell<Notes>,
    pub authorizer: &'a Authorizer,
    pub(super) rotated: &'a Rotated,
}

impl Call<'_> {
    fn decide(&self, asked: &Asked, on: On<'_>) -> Result<(), ApiError> {
        let decision = self.authorizer.decide(self.tx, self.caller, asked, on);
        let (reason, result) = match decision {
            Ok(reason) => (reason, Ok(())),
            Err((reason, error)) => (reason, Err(error)),
        };
        self.notes.borrow_mut().subject.decision = Some(reason);
        result
    }

    /// Whether the caller may, about no secret in particular.
    pub fn allow(&self, asked: &Asked) -> Result<(), ApiError> {
        self.decide(asked, On::Nothing)
    }

    /// Whether the caller may make a secret of that name.
    pub fn allow_new(&self, asked: &Asked, name: &str) -> Result<(), ApiError> {
        self.decide(asked, On::Missing(name))
    }

    /// The secret that `id` means, if the caller may. Whether there is such a
    /// secret is told only to those who might do it if there was.
    pub fn secret(&self, asked: &Asked, id: &str) -> Result<Secret, ApiError> {
        match secrets::find(self.tx, id) {
            Ok(secret) => {
                self.about(&secret);
                self.decide(asked, On::Secret(&secret))?;
                Ok(secret)
            }
            Err(error) => {
                self.allow_new(asked, id)?;
                Err(error.into())
            }
        }
    }

    /// The same, for operations that a secret which waits for its deletion
    /// refuses.
    pub fn live(&self, asked: &Asked, id: &str) -> Result<Secret, ApiError> {
        let secret = self.secret(asked, id)?;
        match secret.deletion {
            None => Ok(secret),
            Some(_) => Err(VaultError::marked_for_deletion().into()),
        }
    }

    /// Whether the caller may read the current value of another secret, which
    /// what is asked for would make use of. One that is not there is decided
    /// about like one that is.
    pub fn may_use(&self, id: &str) -> Result<(), ApiError> {
        let asked = Asked::new("GetSecretValue")
            .with("secretsmanager:SecretId", Some(id))
            .with("secretsmanager:VersionStage", Some(AWSCURRENT));
        match secrets::find(self.tx, id) {
            Ok(secret) => {
                self.about(&secret);
                self.decide(&asked, On::Secret(&secret))
            }
            Err(_) => self.allow_new(&asked, id),
        }
    }

    /// Whether what was just done leaves the caller the permission to do it
    /// again; where not, nothing is done.
    pub fn still(&self, asked: &Asked, secret: &Secret) -> Result<(), ApiError> {
        self.decide(asked, On::Secret(secret))
    }

    pub fn about(&self, secret: &Secret) {
        self.notes.borrow_mut().subject.arn = Some(secret.arn.clone());
    }

    pub fn about_version(&self, version: &VersionId) {
        self.notes.borrow_mut().subject.version = Some(version.to_string());
    }
}
