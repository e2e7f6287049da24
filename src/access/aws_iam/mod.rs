//! Identity by AWS IAM. The client signs a request to STS, GetCallerIdentity, and
//! presents it instead of sending it. pgvalet sends the request, and STS says who
//! signed it. The client's credentials never leave the client.
//!
//! The request is a presigned address (SigV4, with the signature in the query), whose
//! signature covers the header `x-pgvalet-audience`.
//!
//! * `sts`       how STS is asked
//! * `presigned` the request, checked before it is sent
//! * `endpoint`  the addresses that it may be sent to
//!
//! What a rule asks of a caller is in `identity/aws_iam.rs`.

mod endpoint;
pub(crate) mod presigned;
mod sts;
#[cfg(test)]
mod tests;

pub use sts::Sts;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use chrono::Utc;
use parking_lot::Mutex;
use serde::Deserialize;
use tracing::warn;

use super::AwsIamRule;
use super::token::Rejected;
use crate::net::https::{FetchError, Https};
use presigned::Presigned;

/// The header, in lower case as signatures have it.
const AUDIENCE_HEADER: &str = "x-pgvalet-audience";

/// How long an answer of STS is kept for the same request: a client that opens
/// several connections presents it several times.
const REMEMBERED: Duration = Duration::from_secs(60);
/// The most answers that are kept.
const MOST: usize = 10_000;

/// A caller of AWS, as STS says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The ARN that STS says, which for a role has the name of the session.
    pub arn: Arc<str>,
    /// The ARN that rules name: the role, whatever the session.
    pub role: Arc<str>,
    /// How STS was asked. A rule with another audience does not accept the caller.
    pub sts: Sts,
}

type Remembered = HashMap<[u8; 32], (Instant, Caller)>;

/// Asks STS, and keeps the answers for a moment.
#[derive(Clone, Default)]
pub struct Callers {
    https: Option<Https>,
    remembered: Arc<Mutex<Remembered>>,
}

impl Callers {
    /// Makes the verifier of a new configuration; the answers that `before` has are kept. `needed`:
    /// whether a rule has `aws_iam`.
    pub fn new(needed: bool, before: &Self) -> Self {
        let https = before.https.clone().filter(|_| needed);
        let https = https.or_else(|| {
            let made = needed.then(|| Https::new(None))?;
            made.inspect_err(|e| {
                warn!("clients with aws_iam are refused, because STS cannot be asked: {e}")
            })
            .ok()
        });
        Self {
            https,
            remembered: before.remembered.clone(),
        }
    }

    /// Asks STS as the rules say, one way after the other, until it says who signed
    /// the request.
    ///
    /// # Errors
    /// [`Rejected`], as of the last way that was tried.
    pub async fn identify<'a>(
        &self,
        request: &str,
        rules: impl Iterator<Item = &'a AwsIamRule>,
    ) -> Result<Caller, Rejected> {
        let mut rejected = Rejected::UnknownIssuer;
        let mut asked: Vec<&Sts> = Vec::new();
        for rule in rules {
            if asked.contains(&&rule.sts) {
                continue;
            }
            asked.push(&rule.sts);
            match self.ask(request, &rule.sts).await {
                Ok(caller) => return Ok(caller),
                Err(why) => rejected = why,
            }
        }
        Err(rejected)
    }

    async fn ask(&self, request: &str, sts: &Sts) -> Result<Caller, Rejected> {
        let presigned = Presigned::read(request, sts, Utc::now())?;
        let key = key(request, sts);
        if let Some(caller) = self.remembered(&key) {
            return Ok(caller);
        }
        let https = self.https.as_ref().ok_or(Rejected::KeysUnavailable)?;
        let headers = [(AUDIENCE_HEADER, sts.audience.as_str())];
        let answer = match https.get(&presigned.uri, &headers).await {
            Ok(answer) => answer,
            Err(FetchError::Status { status, .. }) if status.is_client_error() => {
                return Err(Rejected::Signature);
            }
            // The address is not logged: its query is the client's credential.
            Err(error) => {
                let host = presigned.uri.host().unwrap_or_default();
                warn!(
                    host,
                    "STS cannot be asked who a client is: {}",
                    error.kind()
                );
                return Err(Rejected::KeysUnavailable);
            }
        };
        let arn = read(&answer).ok_or(Rejected::Malformed)?;
        let caller = Caller {
            role: role(&arn).into(),
            arn: arn.into(),
            sts: sts.clone(),
        };
        let left = (presigned.expires - Utc::now())
            .to_std()
            .unwrap_or_default();
        self.remember(key, left.min(REMEMBERED), &caller);
        Ok(caller)
    }

    fn remembered(&self, key: &[u8; 32]) -> Option<Caller> {
        let known = self.remembered.lock();
        let (until, caller) = known.get(key)?;
        (*until > Instant::now()).then(|| caller.clone())
    }

    fn remember(&self, key: [u8; 32], time: Duration, caller: &Caller) {
        let mut known = self.remembered.lock();
        if known.len() >= MOST {
            let now = Instant::now();
            known.retain(|_, (until, _)| *until > now);
        }
        if known.len() < MOST {
            known.insert(key, (Instant::now() + time, caller.clone()));
        }
    }
}

/// What an answer is kept by: a hash, because the request is the client's credential.
fn key(request: &str, sts: &Sts) -> [u8; 32] {
    let mut key = [0; 32];
    let text = format!("{}\0{request}", sts.audience);
    key.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    key
}

/// The ARN in an answer of GetCallerIdentity, in JSON
/// (<https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html>).
pub(crate) fn read(answer: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        get_caller_identity_response: Response,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Response {
        get_caller_identity_result: Outcome,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Outcome {
        arn: String,
    }
    let answer: Answer = serde_json::from_slice(answer).ok()?;
    Some(
        answer
            .get_caller_identity_response
            .get_caller_identity_result
            .arn,
    )
}

/// The ARN that rules name. `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION` is a
/// session of `arn:aws:iam::ACCOUNT:role/ROLE`, and chooses its own name, which
/// therefore identifies nobody. Every other ARN stays as it is.
fn role(arn: &str) -> String {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, "sts", _, account, resource] = parts[..] else {
        return arn.to_owned();
    };
    match resource.split('/').collect::<Vec<_>>()[..] {
        ["assumed-role", role, _] => format!("arn:{partition}:iam::{account}:role/{role}"),
        _ => arn.to_owned(),
    }
}
