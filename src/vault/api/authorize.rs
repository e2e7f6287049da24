//! May the caller do it? Decided in the transaction that does it.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use parking_lot::{Mutex, MutexGuard};

use super::ApiError;
use super::caller::Caller;
use crate::vault::policy::{Context, Decision, Kind, Policy, Principal, Request, evaluate};
use crate::vault::secrets::{ARN_PREFIX, Secret};
use crate::vault::tx::{self, Tx};
use crate::vault::{VaultError, tags};

/// How many parsed policies are kept.
const KEPT: usize = 4096;
/// Used as the six random characters of a secret that is not there, so that what a
/// policy grants on all secrets of a name, it grants on this one too.
const NO_SUFFIX: &str = "-000000";
/// The name of a secret's policy in decisions.
pub const RESOURCE_POLICY: &str = "the secret's resource policy";

/// An action, with the condition keys that the request itself has.
pub struct Asked {
    pub action: &'static str,
    context: Context,
}

/// What the action is about.
#[derive(Clone, Copy)]
pub enum On<'a> {
    /// The store as a whole.
    Nothing,
    Secret(&'a Secret),
    /// A secret that is not there: its name, or any other text that was given as
    /// one.
    Missing(&'a str),
}

impl Asked {
    pub fn new(action: &'static str) -> Self {
        Self {
            action,
            context: Context::new(),
        }
    }

    /// This request as another action, which it needs permission for as well.
    pub fn also(self, action: &'static str) -> Self {
        Self { action, ..self }
    }

    #[must_use]
    pub fn with(mut self, key: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.context.add(key, value.to_string());
        }
        self
    }

    #[must_use]
    pub fn with_list(mut self, key: &str, values: impl IntoIterator<Item = String>) -> Self {
        for value in values {
            self.context.add(key, value);
        }
        self
    }
}

/// Which statement decided, in words.
pub type Reason = String;

/// Policies by their text and by whether they are resource policies.
type Parsed = HashMap<(Arc<str>, bool), Arc<Policy>>;

#[derive(Default)]
pub struct Authorizer {
    policies: Mutex<Parsed>,
}

impl Authorizer {
    /// Decides. Returns the reason, and where the caller may not, the error.
    pub fn decide(
        &self,
        tx: &Tx<'_>,
        caller: &Caller,
        asked: &Asked,
        on: On<'_>,
    ) -> Result<Reason, (Reason, ApiError)> {
        if caller.own {
            return Ok("pgvalet itself".into());
        }
        let unreadable = |error: ApiError| (error.message.clone(), error);
        let identity = caller
            .policies
            .iter()
            .map(|text| self.parse(&text.name, &text.document, Kind::Identity))
            .collect::<Result<Vec<_>, _>>()
            .map_err(unreadable)?;
        let (resource, context, policy) = self.about(tx, asked, on).map_err(unreadable)?;
        let context = of_the_call(context, caller, tx.now);
        let principal = Principal {
            arn: caller.arn.clone(),
            id: caller.unique_id.clone(),
            tags: caller.tags.clone(),
        };
        let action = format!("secretsmanager:{}", asked.action);
        let request = Request {
            principal: &principal,
            action: &action,
            resource: &resource,
            context: &context,
        };
        let identity = identity.iter().map(|policy| &**policy);
        let decision = evaluate(&request, identity, policy.as_deref());
        let reason = decision.to_string();
        let why = match decision {
            Decision::Allowed(_) => return Ok(reason),
            Decision::Denied(by) if by.policy == RESOURCE_POLICY => {
                "with an explicit deny in a resource-based policy".to_owned()
            }
            Decision::Denied(_) => "with an explicit deny in an identity-based policy".to_owned(),
            Decision::NotAllowed => {
                format!("because no identity-based policy allows the {action} action")
            }
        };
        let error = ApiError::new(
            "AccessDeniedException",
            format!(
                "User: {} is not authorized to perform: {action} on resource: {} {why}",
                caller.arn,
                match on {
                    On::Missing(name) => name,
                    _ => &resource,
                }
            ),
        );
        Err((reason, error))
    }

    /// The ARN of the resource, its condition keys, and its policy.
    fn about(
        &self,
        tx: &Tx<'_>,
        asked: &Asked,
        on: On<'_>,
    ) -> Result<(String, Context, Option<Arc<Policy>>), ApiError> {
        let mut context = asked.context.clone();
        match on {
            On::Nothing => Ok(("*".into(), context, None)),
            On::Missing(arn) if arn.starts_with("arn:") => Ok((arn.into(), context, None)),
            On::Missing(name) => Ok((format!("{ARN_PREFIX}{name}{NO_SUFFIX}"), context, None)),
            On::Secret(secret) => {
                for tag in tags::of(tx, secret.id)? {
                    for prefix in ["aws", "secretsmanager"] {
                        context.add(&format!("{prefix}:ResourceTag/{}", tag.key), &*tag.value);
                    }
                }
                let policy = match &secret.policy {
                    Some(text) => Some(self.parse(RESOURCE_POLICY, text, Kind::Resource)?),
                    None => None,
                };
                Ok((secret.arn.clone(), context, policy))
            }
        }
    }

    /// Parses a policy, each text once. Policies are checked before they are stored,
    /// so one that cannot be parsed has been tampered with: then nothing is
    /// allowed.
    fn parse(&self, name: &str, text: &str, kind: Kind) -> Result<Arc<Policy>, ApiError> {
        let key = (text.into(), kind == Kind::Resource);
        let known = self.lock().get(&key).cloned();
        if let Some(policy) = known.filter(|policy| *policy.name == *name) {
            return Ok(policy);
        }
        let policy = Policy::parse(name, text, kind).map_err(|e| {
            ApiError::from(VaultError::Internal(format!("{name} cannot be read: {e}")))
        })?;
        let policy = Arc::new(policy);
        let mut policies = self.lock();
        if policies.len() >= KEPT {
            policies.clear();
        }
        policies.insert(key, policy.clone());
        Ok(policy)
    }

    fn lock(&self) -> MutexGuard<'_, Parsed> {
        self.policies.lock()
    }
}

/// Adds the condition keys that every call has.
fn of_the_call(mut context: Context, caller: &Caller, now: tx::Millis) -> Context {
    let at = DateTime::<Utc>::from(tx::time(now));
    // A simulation may bring a time of its own; a request cannot.
    if !context.has("aws:CurrentTime") {
        context.add(
            "aws:CurrentTime",
            at.to_rfc3339_opts(SecondsFormat::Secs, true),
        );
    }
    if !context.has("aws:EpochTime") {
        context.add("aws:EpochTime", at.timestamp().to_string());
    }
    context.add("aws:SecureTransport", caller.peer.secure.to_string());
    if let Some(address) = caller.peer.address {
        context.add("aws:SourceIp", address.to_string());
    }
    if let Some(agent) = &caller.peer.user_agent {
        context.add("aws:UserAgent", agent.as_str());
    }
    context
}
