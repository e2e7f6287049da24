//! Replication to other regions and accounts: this store has none, and says so.

use super::authorize::Asked;
use super::call::{Call, Nothing, Operation};
use super::shapes::request;
use super::{ApiError, Check};
use crate::vault::VaultError;

pub fn not_here() -> ApiError {
    VaultError::InvalidRequest(
        "This store has no other regions or accounts, so that secrets can't be replicated; copy \
         the store itself instead."
            .into(),
    )
    .into()
}

macro_rules! refused {
    ($($name:ident = $wire:literal),* $(,)?) => {
        $(
            request!($name { id: String = "SecretId" });

            impl Operation for $name {
                type Answer = Nothing;
                const NAME: &'static str = $wire;
                const WRITES: bool = false;

                fn check(&self, check: &mut Check) {
                    check.secret_id(self.id.as_ref());
                }

                fn run(self, call: &Call<'_>) -> Result<Nothing, ApiError> {
                    let id = self.id.unwrap_or_default();
                    let asked = Asked::new(Self::NAME).with("secretsmanager:SecretId", Some(&id));
                    call.secret(&asked, &id)?;
                    Err(not_here())
                }
            }
        )*
    };
}

refused!(
    ReplicateSecretToRegions = "ReplicateSecretToRegions",
    RemoveRegionsFromReplication = "RemoveRegionsFromReplication",
    StopReplicationToReplica = "StopReplicationToReplica",
    AssociateCrossAccountReplica = "AssociateCrossAccountReplica",
    DisassociateCrossAccountReplica = "DisassociateCrossAccountReplica",
);
