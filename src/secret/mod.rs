//! Secrets, their versions, and the credentials inside them.
//!
//! The vocabulary is that of AWS Secrets Manager: a secret has versions, and
//! staging labels point at versions. A [`Credential`] is the immutable content
//! of one version; a server connection carries the credential it logged in
//! with for as long as it lives, so that "which version is this connection
//! on" is never a question of timing.

mod credential;
mod follower;
mod store;

pub use credential::{Credential, MalformedSecret, Password};
pub use follower::{Follower, Known};
pub use store::{
    AWSCURRENT, AWSPENDING, AWSPREVIOUS, Deletion, Description, NewSecret, RandomPassword,
    SecretStore, SecretValue, StoreError, StoreFuture, Which,
};

use std::fmt;
use std::sync::Arc;

/// A secret as configuration and policy name it: a name or an ARN.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretId(Arc<str>);

/// The id of one version of a secret: the ClientRequestToken it was made with.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VersionId(Arc<str>);

macro_rules! text_id {
    ($type:ident) => {
        impl $type {
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(SecretId);
text_id!(VersionId);
