//! Simulating a call: what policies would decide, without doing anything. Real calls
//! are decided by the same code.

use super::Vault;
use super::authorize::{Asked, Authorizer, On};
use super::caller::{Caller, Peer};
use crate::vault::principals::{ACCOUNT, PolicyText, find};
use crate::vault::tx::Tx;
use crate::vault::{VaultError, secrets};

/// A call to be simulated.
pub struct Simulation {
    /// Name of a principal.
    pub principal: String,
    /// See [`crate::vault::policy::operation`].
    pub action: &'static str,
    /// Name or ARN; `None` for operations about no secret in particular.
    pub secret: Option<String>,
    /// Condition keys, in addition to those that the store knows by itself.
    pub context: Vec<(String, String)>,
    /// Policies to use in place of the principal's, who need not exist then.
    pub identity: Option<Vec<PolicyText>>,
    /// A policy to use in place of the secret's.
    pub resource: Option<String>,
}

/// The decision.
pub struct Simulated {
    pub allowed: bool,
    /// Which statement decided, or that none did.
    pub reason: String,
}

impl Vault {
    pub async fn simulate(&self, simulation: Simulation) -> Result<Simulated, VaultError> {
        self.read(move |tx| simulation.run(tx)).await
    }
}

impl Simulation {
    fn run(self, tx: &Tx<'_>) -> Result<Simulated, VaultError> {
        let mut caller = match (find(tx, &self.principal)?, &self.identity) {
            (Some(principal), _) if principal.disabled.is_some() => {
                return Ok(Simulated {
                    allowed: false,
                    reason: format!("denied, because {} is disabled", self.principal),
                });
            }
            (Some(principal), _) => Caller::of(principal, String::new(), self.peer()?),
            (None, Some(_)) => self.nobody_yet()?,
            (None, None) => {
                return Err(VaultError::ResourceNotFound(format!(
                    "there is no principal {}; `pgvalet store principal list` shows them, and \
                     --identity-policy asks about one that is not there yet",
                    self.principal
                )));
            }
        };
        if let Some(policies) = &self.identity {
            caller.policies.clone_from(policies);
        }
        let asked = self.asked();
        let mut secret = self.secret.as_ref().map(|id| secrets::find(tx, id));
        if let (Some(Ok(secret)), Some(policy)) = (&mut secret, &self.resource) {
            secret.policy = Some(policy.clone());
        }
        let on = match (&secret, &self.secret) {
            (Some(Ok(secret)), _) => On::Secret(secret),
            (Some(Err(VaultError::ResourceNotFound(_))), Some(id)) => On::Missing(id),
            (Some(Err(e)), _) => return Err(e.clone()),
            _ => On::Nothing,
        };
        let decided = Authorizer::default().decide(tx, &caller, &asked, on);
        Ok(match decided {
            Ok(reason) => Simulated {
                allowed: true,
                reason,
            },
            Err((reason, _)) => Simulated {
                allowed: false,
                reason,
            },
        })
    }

    /// The call, with what it says of itself.
    fn asked(&self) -> Asked {
        let mut asked = Asked::new(self.action);
        for (key, value) in self.context.iter().filter(|(key, _)| !is_of_peer(key)) {
            asked = asked.with(key, Some(value));
        }
        let given = |key: &str| {
            let mut keys = self.context.iter().map(|(key, _)| key);
            keys.any(|k| k.eq_ignore_ascii_case(key))
        };
        if let Some(id) = &self.secret
            && !given("secretsmanager:SecretId")
        {
            asked = asked.with("secretsmanager:SecretId", Some(id));
        }
        if self.action == "GetSecretValue"
            && !given("secretsmanager:VersionStage")
            && !given("secretsmanager:VersionId")
        {
            // The stage that the operation assumes.
            asked = asked.with("secretsmanager:VersionStage", Some("AWSCURRENT"));
        }
        asked
    }

    fn nobody_yet(&self) -> Result<Caller, VaultError> {
        Ok(Caller {
            own: false,
            name: self.principal.clone(),
            arn: format!("arn:aws:iam::{ACCOUNT}:user/{}", self.principal),
            unique_id: String::new(),
            policies: Vec::new(),
            tags: Default::default(),
            access_key: String::new(),
            peer: self.peer()?,
        })
    }

    /// Where the call would come from. It comes over TLS unless the context says
    /// otherwise.
    fn peer(&self) -> Result<Peer, VaultError> {
        let mut peer = Peer {
            secure: true,
            ..Peer::default()
        };
        for (key, value) in &self.context {
            let wrong = || VaultError::InvalidParameter(format!("{key}={value} cannot be"));
            match key.to_ascii_lowercase().as_str() {
                SOURCE_IP => peer.address = Some(value.parse().map_err(|_| wrong())?),
                SECURE_TRANSPORT => peer.secure = value.parse().map_err(|_| wrong())?,
                USER_AGENT => peer.user_agent = Some(value.clone()),
                _ => {}
            }
        }
        Ok(peer)
    }
}

const SOURCE_IP: &str = "aws:sourceip";
const SECURE_TRANSPORT: &str = "aws:securetransport";
const USER_AGENT: &str = "aws:useragent";

fn is_of_peer(key: &str) -> bool {
    [SOURCE_IP, SECURE_TRANSPORT, USER_AGENT]
        .iter()
        .any(|k| key.eq_ignore_ascii_case(k))
}
