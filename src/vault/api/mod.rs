//! The API of AWS Secrets Manager on the embedded store: every SDK, the AWS
//! CLI and pgvalet itself speak it.
//!
//! A call comes over HTTP with a signature ([`serve`], [`signature`]) or from
//! pgvalet itself, without a port ([`Api::own`]). It is parsed, checked against
//! the service model ([`check`]), and run in one transaction in which it is
//! also asked whether the caller may ([`authorize`]). What happened is recorded
//! ([`trail`]) before the caller hears of it.
//!
//! The rest is a file for each family of operations: [`secrets`], [`values`],
//! [`versions`], [`tags`], [`policies`], [`rotation`], [`random`], [`replication`].

mod authenticate;
mod authorize;
mod bodies;
mod call;
mod caller;
mod check;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod options;
mod page;
mod places;
mod policies;
mod random;
mod repeats;
mod replication;
mod rotation;
mod secrets;
mod serve;
mod shapes;
mod signature;
mod simulate;
mod tags;
mod trail;
mod values;
mod versions;

pub use error::ApiError;
pub use options::{StoreListen, StoreTls};
pub use serve::{Door, ServeError};
pub use simulate::{Simulated, Simulation};
pub use trail::Trail;

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::{Vault, VaultError, tx, versions as stored};
use crate::secret::SecretId;
use authenticate::Authenticator;
use authorize::Authorizer;
use call::{Call, Notes, Operation};
use caller::{Caller, Peer};
use check::Check;
use signature::Signed;
use trail::Draft;

/// The prefix of X-Amz-Target.
const TARGET: &str = "secretsmanager.";

type Handler = fn(&Api, &Caller, &[u8], &RefCell<Notes>) -> Result<Reply, ApiError>;

/// JSON that may hold a value.
type Reply = Zeroizing<Vec<u8>>;

const OPERATIONS: &[(&str, Handler)] = &[
    operation::<values::GetSecretValue>(),
    operation::<values::BatchGetSecretValue>(),
    operation::<values::PutSecretValue>(),
    operation::<secrets::CreateSecret>(),
    operation::<secrets::UpdateSecret>(),
    operation::<secrets::DescribeSecret>(),
    operation::<secrets::ListSecrets>(),
    operation::<secrets::DeleteSecret>(),
    operation::<secrets::RestoreSecret>(),
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

fn handle<O: Operation>(
    api: &Api,
    caller: &Caller,
    body: &[u8],
    notes: &RefCell<Notes>,
) -> Result<Reply, ApiError> {
    // serde's own message would quote what it found, which may be a value; and
    // it would take a list for an object.
    let object = body.trim_ascii_start().starts_with(b"{");
    let request = object.then(|| serde_json::from_slice::<O>(body).ok());
    let request = request.flatten().ok_or_else(|| {
        ApiError::new(
            "SerializationException",
            format!("The request is not the JSON that {} takes.", O::NAME),
        )
    })?;
    let mut check = Check::default();
    request.check(&mut check);
    check.finish()?;
    let run = |tx: &tx::Tx<'_>| {
        let call = Call {
            tx,
            caller,
            notes,
            authorizer: &api.authorizer,
            rotated: &api.rotated,
        };
        let answer = request.run(&call)?;
        let mut reply = Growing::default();
        serde_json::to_writer(&mut reply, &answer)
            .map_err(|e| VaultError::Internal(format!("an answer cannot be written: {e}")))?;
        Ok(reply.0)
    };
    match O::WRITES {
        true => api.vault.shared.write(run),
        false => api.vault.shared.read(run),
    }
}

/// A vector that grows leaves a copy behind; this one wipes it.
struct Growing(Reply);

impl Default for Growing {
    fn default() -> Self {
        Self(Zeroizing::new(Vec::with_capacity(1024)))
    }
}

impl Growing {
    fn add(&mut self, bytes: &[u8]) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut larger = Vec::with_capacity(needed.max(2 * self.0.capacity()));
            larger.extend_from_slice(&self.0);
            self.0 = Zeroizing::new(larger);
        }
        self.0.extend_from_slice(bytes);
    }
}

impl io::Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What goes back to a caller.
pub struct Answer {
    pub status: StatusCode,
    /// `x-amzn-RequestId`.
    pub request_id: String,
    /// `__type` of an error.
    pub error: Option<&'static str>,
    /// Whether the caller was one that is known.
    pub recognised: bool,
    /// Wiped when dropped.
    pub body: Bytes,
}

pub struct Api {
    vault: Vault,
    authorizer: Authorizer,
    authenticator: Authenticator,
    trail: Trail,
    lookups: Semaphore,
    rotated: Rotated,
}

/// The secrets that somebody is known to rotate who is asked here.
#[derive(Default)]
struct Rotated(Mutex<Vec<SecretId>>);

impl Rotated {
    fn lock(&self) -> MutexGuard<'_, Vec<SecretId>> {
        self.0.lock()
    }

    fn has(&self, name: &str, arn: &str) -> bool {
        self.lock().iter().any(|id| id.means(name, arn))
    }
}

/// Keys of strangers that are looked up at a time.
const LOOKUPS: usize = 16;

impl Api {
    pub fn new(vault: Vault, trail: Trail) -> Arc<Self> {
        Arc::new(Self {
            vault,
            authorizer: Authorizer::default(),
            authenticator: Authenticator::default(),
            trail,
            lookups: Semaphore::new(LOOKUPS),
            rotated: Rotated::default(),
        })
    }

    /// See [`Vault::changes`].
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.vault.changes()
    }

    /// The secrets that a proxy rotates when RotateSecret asks for it: those of
    /// its configuration. Of the others nobody knows.
    pub fn rotates(&self, secrets: Vec<SecretId>) {
        *self.rotated.lock() = secrets;
    }

    /// A call of pgvalet itself, which may do everything.
    pub async fn own(self: Arc<Self>, target: String, body: Bytes) -> Answer {
        self.run(move |api, trail| {
            let caller = Caller::own();
            trail.operation(&target);
            api.perform(&caller, &target, &body, trail)
        })
        .await
    }

    /// A call from elsewhere, which proves who it is from by its signature.
    pub async fn signed(
        self: Arc<Self>,
        head: Parts,
        body: Zeroizing<Vec<u8>>,
        peer: Peer,
    ) -> Answer {
        self.run(move |api, trail| {
            trail.peer = peer.clone();
            let target = head.headers.get("x-amz-target");
            let target = target.and_then(|t| t.to_str().ok()).unwrap_or_default();
            trail.operation(target);
            let signed = Signed::read(&head)?;
            trail.access_key = Some(signed.access_key.clone());
            let caller = api
                .vault
                .shared
                .read(|tx| api.authenticator.recognise(tx, &signed, &head, &body, peer))?;
            if head.method != Method::POST || head.uri.path() != "/" {
                trail.caller = Some(caller);
                return Err(unknown());
            }
            api.perform(&caller, target, &body, trail)
        })
        .await
    }

    /// Whether whoever sent this head names a key that is known here, at a time
    /// that may be right. All of it is asked again with the body, which has the
    /// proof.
    ///
    /// # Errors
    /// The answer; it is recorded like any other.
    async fn admits(self: Arc<Self>, head: &Parts, peer: &Peer) -> Result<(), Answer> {
        let refused = match Signed::read(head) {
            Ok(signed) => match self.clone().known(signed.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => (Some(signed.access_key), error),
            },
            Err(error) => (None, error),
        };
        let target = head.headers.get("x-amz-target");
        let target = target.and_then(|t| t.to_str().ok()).unwrap_or_default();
        let (target, peer) = (target.to_owned(), peer.clone());
        let answer = self.run(move |_, trail| {
            trail.peer = peer;
            trail.operation(&target);
            let (access_key, error) = refused;
            trail.access_key = access_key;
            Err(error)
        });
        Err(answer.await)
    }

    /// Whether a key is, and the time may be. A few at a time: strangers do not
    /// keep the threads that others need.
    async fn known(self: Arc<Self>, signed: Signed) -> Result<(), ApiError> {
        let _turn = self.lookups.acquire().await;
        let api = self.clone();
        let looked = spawn_blocking(move || {
            api.vault
                .shared
                .read(|tx| api.authenticator.known(tx, &signed).map(drop))
        });
        looked.await.map_err(|e| unfinished(&e))?
    }

    /// In a task of its own: a caller who hangs up in the midst of it is still
    /// recorded.
    async fn run(
        self: Arc<Self>,
        operation: impl FnOnce(&Self, &mut Draft) -> Result<Reply, ApiError> + Send + 'static,
    ) -> Answer {
        match tokio::spawn(self.complete(operation)).await {
            Ok(answer) => answer,
            Err(error) => Self::answer(Err(unfinished(&error))),
        }
    }

    /// Off the reactor, because it waits for the disk; then for its records.
    async fn complete(
        self: Arc<Self>,
        operation: impl FnOnce(&Self, &mut Draft) -> Result<Reply, ApiError> + Send + 'static,
    ) -> Answer {
        let request_id = uuid::Uuid::new_v4().to_string();
        let api = self.clone();
        let id = request_id.clone();
        let done = spawn_blocking(move || {
            let mut draft = Draft::default();
            let result = operation(&api, &mut draft);
            let recognised = draft.caller.is_some();
            let records = match api.trail.is_kept() {
                true => api.trail.records(&draft, &id, result.as_ref().err()),
                false => Vec::new(),
            };
            (result, recognised, records)
        });
        let (result, recognised) = match done.await {
            Ok((result, recognised, records)) => match self.trail.keep(records).await {
                Ok(()) => (result, recognised),
                // No record, no answer; a change that was made stays made.
                Err(error) => (
                    Err(VaultError::Internal(error.to_string()).into()),
                    recognised,
                ),
            },
            Err(error) => (Err(unfinished(&error)), false),
        };
        Answer {
            recognised,
            ..Self::answer_as(request_id, result)
        }
    }

    fn answer(result: Result<Reply, ApiError>) -> Answer {
        Self::answer_as(uuid::Uuid::new_v4().to_string(), result)
    }

    fn answer_as(request_id: String, result: Result<Reply, ApiError>) -> Answer {
        match result {
            Ok(reply) => Answer {
                status: StatusCode::OK,
                request_id,
                error: None,
                recognised: true,
                body: Bytes::from_owner(reply),
            },
            Err(error) => Answer {
                status: error.status(),
                request_id,
                error: Some(error.kind),
                recognised: false,
                body: error.body().into(),
            },
        }
    }

    fn perform(
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
        let notes = RefCell::default();
        let result = handler(self, caller, body, &notes);
        draft.notes = notes.into_inner();
        self.note_access(&draft.notes.accessed);
        result
    }

    /// LastAccessedDate has the resolution of a day, so that reading writes
    /// once a day. That it cannot be written is no reason to refuse a value.
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

fn unfinished(error: &tokio::task::JoinError) -> ApiError {
    VaultError::Internal(format!("the operation did not finish: {error}")).into()
}

fn unknown() -> ApiError {
    ApiError::new("UnknownOperationException", "There is no such operation.")
}
