//! From a call to its operation: the table of operations, and how one of them
//! is checked and run.

use super::call::{Call, Operation};
use super::caller::Caller;
use super::check::Check;
use super::reply::{Growing, Reply};
use super::trail::{self, Draft};
use super::{
    Api, ApiError, delete, describe, policies, random, replication, rotation, secrets, tags,
    unknown, values, versions,
};
use crate::vault::{VaultError, tx, versions as stored};

/// The prefix of X-Amz-Target.
pub const TARGET: &str = "secretsmanager.";

type Handler = fn(&Api, &Caller, &[u8], &Draft) -> Result<Reply, ApiError>;

pub const OPERATIONS: &[(&str, Handler)] = &[
    operation::<values::GetSecretValue>(),
    operation::<values::BatchGetSecretValue>(),
    operation::<values::PutSecretValue>(),
    operation::<secrets::CreateSecret>(),
    operation::<secrets::UpdateSecret>(),
    operation::<describe::DescribeSecret>(),
    operation::<describe::ListSecrets>(),
    operation::<delete::DeleteSecret>(),
    operation::<delete::RestoreSecret>(),
    operation::<versions::ListSecretVersionIds>(),
    operation::<versions::UpdateSecretVersionStage>(),
    operation::<rotation::RotateSecret>(),
    operation::<rotation::CancelRotateSecret>(),
    operation::<random::GetRandomPassword>(),
    operation::<tags::TagResource>(),
    operation::<tags::UntagResource>(),
    operation::<policies::PutResourcePolicy>(),
    operation::<policies::GetResourcePolicy>(),
    operation::<policies::DeleteResourcePolicy>(),
    operation::<policies::ListResourcePolicies>(),
    operation::<policies::ValidateResourcePolicy>(),
    operation::<replication::ReplicateSecretToRegions>(),
    operation::<replication::RemoveRegionsFromReplication>(),
    operation::<replication::StopReplicationToReplica>(),
    operation::<replication::AssociateCrossAccountReplica>(),
    operation::<replication::DisassociateCrossAccountReplica>(),
];

const fn operation<O: Operation>() -> (&'static str, Handler) {
    (O::NAME, handle::<O>)
}

/// Runs an operation on the body of a request; the reply is JSON.
fn handle<O: Operation>(
    api: &Api,
    caller: &Caller,
    body: &[u8],
    draft: &Draft,
) -> Result<Reply, ApiError> {
    // The body has to begin like an object, because serde would take a list for
    // one. Its error is dropped, because it quotes what it found, which may be
    // a value.
    let object = body.trim_ascii_start().starts_with(b"{");
    let request = object.then(|| serde_json::from_slice::<O>(body).ok());
    let request = request.flatten().ok_or_else(|| {
        ApiError::new(
            "SerializationException",
            format!("The request is not the JSON that {} takes.", O::NAME),
        )
    })?;
    api.execute(caller, request, draft, |answer| {
        let mut reply = Growing::default();
        serde_json::to_writer(&mut reply, &answer)
            .map_err(|e| VaultError::Internal(format!("an answer cannot be written: {e}")))?;
        Ok(reply.0)
    })
}

impl Api {
    /// Checks a request against the service model and runs it in a transaction
    /// of its own. What `finish` makes of the answer belongs to the
    /// transaction: when it fails, nothing is changed. A change is recorded in it as well.
    pub(super) fn execute<O: Operation, T>(
        &self,
        caller: &Caller,
        request: O,
        draft: &Draft,
        finish: impl FnOnce(O::Answer) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let mut check = Check::default();
        request.check(&mut check);
        check.finish()?;
        let run = |tx: &tx::Tx<'_>| {
            let call = Call {
                tx,
                caller,
                notes: &draft.notes,
                authorizer: &self.authorizer,
                rotated: &self.rotated,
            };
            finish(request.run(&call)?)
        };
        match O::WRITES {
            true => self.vault.shared.write(|tx| {
                let answer = run(tx)?;
                let kept = self.trail.keep_first(draft);
                kept.map_err(|e| VaultError::Internal(e.to_string()))?;
                Ok(answer)
            }),
            false => self.vault.shared.read(run),
        }
    }

    /// Runs the operation that a target names.
    pub(super) fn perform(
        &self,
        caller: &Caller,
        target: &str,
        body: &[u8],
        draft: &mut Draft,
    ) -> Result<Reply, ApiError> {
        draft.caller = Some(caller.clone());
        let handler = target
            .strip_prefix(TARGET)
            .and_then(|name| OPERATIONS.iter().find(|(known, _)| *known == name));
        let Some((_, handler)) = handler else {
            return Err(unknown());
        };
        if self.trail.is_kept() {
            draft.parameters = trail::parameters(body);
        }
        self.noting(draft, |draft| handler(self, caller, body, draft))
    }

    /// Keeps what an operation noted as LastAccessedDate.
    pub(super) fn noting<T>(
        &self,
        draft: &Draft,
        operation: impl FnOnce(&Draft) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let result = operation(draft);
        self.note_access(&draft.notes.borrow().accessed);
        result
    }

    /// LastAccessedDate has the resolution of a day, so that a secret that is
    /// read all day is written once. A failure to write it is no reason to
    /// refuse a value.
    fn note_access(&self, versions: &[i64]) {
        if versions.is_empty() {
            return;
        }
        let noted = self
            .vault
            .shared
            .write(|tx| versions.iter().try_for_each(|&v| stored::accessed(tx, v)));
        if let Err(error) = noted {
            tracing::debug!(%error, "the day of an access could not be noted");
        }
    }
}
