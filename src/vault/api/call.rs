//! One call of an operation: its transaction, its caller, and what the trail will
//! say about it.

use std::cell::RefCell;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::authorize::{Asked, Authorizer, On};
use super::{ApiError, Caller, Check, Rotated};
use crate::secret::{AWSCURRENT, VersionId};
use crate::vault::VaultError;
use crate::vault::secrets::{self, Secret};
use crate::vault::tx::Tx;

/// An operation of the API. The type is its request, which is checked against the
/// service model and then run in a transaction of its own.
pub trait Operation: DeserializeOwned {
    type Answer: Serialize;
    const NAME: &'static str;
    /// Whether the transaction takes the write lock.
    const WRITES: bool;

    /// Finds what the service model forbids.
    fn check(&self, check: &mut Check);

    /// Decides whether the caller may, and does it.
    fn run(self, call: &Call<'_>) -> Result<Self::Answer, ApiError>;
}

/// An empty answer.
#[derive(Serialize)]
pub struct Nothing {}

/// What a call was about, for the trail.
#[derive(Default, Clone)]
pub struct Subject {
    pub arn: Option<String>,
    pub version: Option<String>,
    /// The last decision, in words.
    pub decision: Option<String>,
}

/// A value that BatchGetSecretValue read; it has a record of its own.
pub struct Item {
    pub id: String,
    pub subject: Subject,
    pub error: Option<ApiError>,
}

/// What a call leaves for the trail.
#[derive(Default)]
pub struct Notes {
    pub subject: Subject,
    pub items: Vec<Item>,
    /// Versions that were read for the first time today.
    pub accessed: Vec<i64>,
}

/// What an operation runs with.
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

    /// Whether the caller may do what is about no secret in particular.
    pub fn allow(&self, asked: &Asked) -> Result<(), ApiError> {
        self.decide(asked, On::Nothing)
    }

    /// Whether the caller may create a secret with this name.
    pub fn allow_new(&self, asked: &Asked, name: &str) -> Result<(), ApiError> {
        self.decide(asked, On::Missing(name))
    }

    /// The secret that `id` means, if the caller may do what is asked. Only a caller
    /// who might do it if the secret existed learns that it does not exist.
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

    /// The secret that `id` means, unless it is marked for deletion.
    pub fn live(&self, asked: &Asked, id: &str) -> Result<Secret, ApiError> {
        let secret = self.secret(asked, id)?;
        match secret.deletion {
            None => Ok(secret),
            Some(_) => Err(VaultError::marked_for_deletion().into()),
        }
    }

    /// Whether the caller may read the current value of another secret, which the
    /// operation would use. The decision is the same if that secret does not
    /// exist.
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

    /// Whether the caller could still do it after what was just done. If not, the
    /// error undoes all of it.
    pub fn still(&self, asked: &Asked, secret: &Secret) -> Result<(), ApiError> {
        self.decide(asked, On::Secret(secret))
    }

    /// Notes the secret that the call is about.
    pub fn about(&self, secret: &Secret) {
        self.notes.borrow_mut().subject.arn = Some(secret.arn.clone());
    }

    /// Notes the version that the call is about.
    pub fn about_version(&self, version: &VersionId) {
        self.notes.borrow_mut().subject.version = Some(version.to_string());
    }
}
