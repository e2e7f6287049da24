//! The API of AWS Secrets Manager on the embedded store. Every SDK and the AWS
//! CLI speak it over HTTP; pgvalet calls its operations directly.
//!
//! A call over HTTP has a signature ([`serve`], [`signature`]) and a body of
//! JSON ([`dispatch`]). A call of pgvalet itself has neither ([`own`]). Both are
//! checked against the service model ([`check`]) and run in one transaction,
//! which also decides whether the caller may ([`authorize`]). A change is recorded
//! ([`trail`]) before it is committed, and everything before the caller hears of it.
//!
//! The operations are types with `check` and `run` ([`call`]), in a file for
//! each family: [`secrets`], [`describe`], [`delete`], [`values`], [`versions`],
//! [`tags`], [`policies`], [`rotation`], [`random`], [`replication`].

mod authenticate;
mod authorize;
mod bodies;
mod call;
mod caller;
mod check;
pub(super) mod delete;
pub(super) mod describe;
mod dispatch;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod holders;
#[cfg(test)]
pub(crate) mod in_process;
mod options;
mod own;
mod page;
mod places;
pub(super) mod policies;
pub(super) mod random;
mod repeats;
mod replication;
mod reply;
mod rotation;
pub(super) mod secrets;
mod serve;
pub(super) mod shapes;
mod signature;
mod simulate;
mod tags;
mod trail;
pub(super) mod values;
pub(super) mod versions;

pub(super) use call::Operation;
pub use error::ApiError;
pub use options::{StoreListen, StoreTls};
pub use serve::{ServeError, StoreListener};
pub use simulate::{Simulated, Simulation};
pub use trail::Trail;

use std::sync::Arc;

use axum::http::Method;
use axum::http::request::Parts;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, spawn_blocking};
use zeroize::Zeroizing;

use super::{Vault, VaultError};
use crate::audit::Record;
use crate::secret::SecretId;
use authenticate::Authenticator;
use authorize::Authorizer;
use caller::{Caller, Peer};
use check::Check;
use reply::{Answer, Reply};
use signature::Signed;
use trail::Draft;

/// Access keys that are looked up at a time for callers who have not proved
/// who they are.
const LOOKUPS: usize = 16;

/// The operations of one store, whoever calls them.
pub struct Api {
    vault: Vault,
    authorizer: Authorizer,
    authenticator: Authenticator,
    trail: Trail,
    lookups: Semaphore,
    rotated: Rotated,
}

/// Secrets that a proxy on this store is known to rotate.
#[derive(Default)]
struct Rotated(Mutex<Vec<SecretId>>);

impl Rotated {
    fn has(&self, name: &str, arn: &str) -> bool {
        self.0.lock().iter().any(|id| id.means(name, arn))
    }
}

/// A call that ended, and is recorded.
struct Done<T> {
    request_id: String,
    recognised: bool,
    result: Result<T, ApiError>,
}

/// A call that ended, and whose records are not yet written.
struct Judged<T> {
    recognised: bool,
    result: Result<T, ApiError>,
    records: Vec<Record>,
}

impl<T> Done<T> {
    fn unfinished(request_id: String, error: &JoinError) -> Self {
        Self {
            request_id,
            recognised: false,
            result: Err(unfinished(error)),
        }
    }
}

impl From<Done<Reply>> for Answer {
    fn from(done: Done<Reply>) -> Self {
        Self::new(done.request_id, done.recognised, done.result)
    }
}

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

    /// Tells which secrets a proxy of this process rotates when RotateSecret
    /// asks for it: those of its configuration. Proxies of other processes are
    /// not known here.
    pub fn rotates(&self, secrets: Vec<SecretId>) {
        *self.rotated.0.lock() = secrets;
    }

    /// A call over HTTP, which proves by its signature who sends it.
    async fn signed(self: Arc<Self>, head: Parts, body: Zeroizing<Vec<u8>>, peer: Peer) -> Answer {
        self.run(move |api, draft| {
            draft.peer = peer.clone();
            let target = target(&head);
            draft.operation(target);
            let signed = Signed::read(&head)?;
            draft.access_key = Some(signed.access_key.clone());
            let caller = api
                .vault
                .shared
                .read(|tx| api.authenticator.recognise(tx, &signed, &head, &body, peer))?;
            if head.method != Method::POST || head.uri.path() != "/" {
                draft.caller = Some(caller);
                return Err(unknown());
            }
            api.perform(&caller, target, &body, draft)
        })
        .await
        .into()
    }

    /// Whether the sender of this head names a key that is known here, at a
    /// time that may be right. The whole request is checked again once its body
    /// has arrived, because only then the signature can be verified.
    ///
    /// # Errors
    /// The answer to send; it is recorded like any other.
    async fn admits(self: Arc<Self>, head: &Parts, peer: &Peer) -> Result<(), Answer> {
        let refused = match Signed::read(head) {
            Ok(signed) => match self.clone().known(signed.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => (Some(signed.access_key), error),
            },
            Err(error) => (None, error),
        };
        // No thread is taken for a stranger: a storm of them would otherwise have hundreds.
        let request_id = uuid::Uuid::new_v4().to_string();
        let judged: Judged<Reply> = self.judge(&request_id, |_, draft| {
            draft.peer = peer.clone();
            draft.operation(target(head));
            let (access_key, error) = refused;
            draft.access_key = access_key;
            Err(error)
        });
        let recorded = tokio::spawn(self.record(request_id.clone(), judged)).await;
        Err(recorded
            .unwrap_or_else(|e| Done::unfinished(request_id, &e))
            .into())
    }

    /// Whether the key exists and the time may be right. Only a few are looked
    /// up at a time, so that strangers do not take the threads that others need.
    async fn known(self: Arc<Self>, signed: Signed) -> Result<(), ApiError> {
        let _turn = self.lookups.acquire().await;
        let _place = self.vault.shared.storage.turn().await;
        let api = self.clone();
        let looked = spawn_blocking(move || {
            api.vault
                .shared
                .read(|tx| api.authenticator.known(tx, &signed).map(drop))
        });
        looked.await.map_err(|e| unfinished(&e))?
    }

    /// Runs a call in a task of its own, so that it is recorded even if its
    /// caller hangs up meanwhile.
    async fn run<T: Send + 'static>(
        self: Arc<Self>,
        operation: impl FnOnce(&Self, &mut Draft) -> Result<T, ApiError> + Send + 'static,
    ) -> Done<T> {
        let request_id = uuid::Uuid::new_v4().to_string();
        match tokio::spawn(self.complete(request_id.clone(), operation)).await {
            Ok(done) => done,
            Err(error) => Done::unfinished(request_id, &error),
        }
    }

    /// Runs a call on a thread that may wait for the disk, then waits for its
    /// records.
    async fn complete<T: Send + 'static>(
        self: Arc<Self>,
        request_id: String,
        operation: impl FnOnce(&Self, &mut Draft) -> Result<T, ApiError> + Send + 'static,
    ) -> Done<T> {
        let (api, id) = (self.clone(), request_id.clone());
        let turn = self.clone();
        let _turn = turn.vault.shared.storage.turn().await;
        match spawn_blocking(move || api.judge(&id, operation)).await {
            Ok(judged) => self.record(request_id, judged).await,
            Err(error) => Done::unfinished(request_id, &error),
        }
    }

    /// Carries out a call, and drafts its records.
    fn judge<T>(
        &self,
        request_id: &str,
        operation: impl FnOnce(&Self, &mut Draft) -> Result<T, ApiError>,
    ) -> Judged<T> {
        let mut draft = Draft::of(request_id);
        let result = operation(self, &mut draft);
        // A change has its records already, unless it could not be committed after that.
        let recorded = draft.kept.get() && result.is_ok();
        let records = match self.trail.is_kept() && !recorded {
            true => self.trail.records(&draft, result.as_ref().err()),
            false => Vec::new(),
        };
        Judged {
            recognised: draft.caller.is_some(),
            result,
            records,
        }
    }

    /// Waits until the records of a call are kept that has none yet. Without a record there is
    /// no answer.
    async fn record<T>(self: Arc<Self>, request_id: String, judged: Judged<T>) -> Done<T> {
        let result = match self.trail.keep(judged.records).await {
            Ok(()) => judged.result,
            Err(error) => Err(VaultError::Internal(error.to_string()).into()),
        };
        Done {
            request_id,
            recognised: judged.recognised,
            result,
        }
    }
}

/// The operation that a request names, with its prefix.
fn target(head: &Parts) -> &str {
    let target = head.headers.get("x-amz-target");
    target.and_then(|t| t.to_str().ok()).unwrap_or_default()
}

fn unfinished(error: &JoinError) -> ApiError {
    VaultError::Internal(format!("the operation did not finish: {error}")).into()
}

fn unknown() -> ApiError {
    ApiError::new("UnknownOperationException", "There is no such operation.")
}
