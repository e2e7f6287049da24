//! PutResourcePolicy, GetResourcePolicy, DeleteResourcePolicy,
//! ListResourcePolicies, ValidateResourcePolicy.

use serde::Serialize;

use super::authorize::{Asked, RESOURCE_POLICY};
use super::call::{Call, Operation};
use super::secrets::Named;
use super::shapes::{answer, request};
use super::{ApiError, Check};
use crate::vault::VaultError;
use crate::vault::policy::{self, DOCUMENT_LIMIT, Kind, Policy};
use crate::vault::secrets::{self, Secret};

/// The one policy that a secret can have.
const DEFAULT: &str = "default";

fn check_policy_name(check: &mut Check, name: Option<&String>) {
    check.text("policyName", name, 1..=64);
    check.characters("policyName", name, "[0-9A-Za-z\\-\\_]+", |c| {
        c.is_ascii_alphanumeric() || "-_".contains(c)
    });
}

fn only_default(name: Option<&String>) -> Result<(), ApiError> {
    match name {
        Some(name) if name != DEFAULT => Err(VaultError::InvalidParameter(format!(
            "The policy name {name} is not valid. You can only attach the {DEFAULT} policy."
        ))
        .into()),
        _ => Ok(()),
    }
}

/// The secret, and the policy name if the request had one.
#[derive(Serialize)]
pub struct NamedPolicy {
    #[serde(flatten)]
    named: Named,
    #[serde(rename = "PolicyName", skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
}

request!(PutResourcePolicy {
    id: String = "SecretId",
    policy: String = "ResourcePolicy",
    name: String = "PolicyName",
    block_public: bool = "BlockPublicPolicy",
});

impl Operation for PutResourcePolicy {
    type Answer = NamedPolicy;
    const NAME: &'static str = "PutResourcePolicy";
    const WRITES: bool = true;

    fn check(&self, check: &mut Check) {
        check.secret_id(self.id.as_ref());
        check.required("resourcePolicy", self.policy.as_ref());
        check.text("resourcePolicy", self.policy.as_ref(), 1..=DOCUMENT_LIMIT);
        check_policy_name(check, self.name.as_ref());
    }

    fn run(self, call: &Call<'_>) -> Result<NamedPolicy, ApiError> {
        let id = self.id.unwrap_or_default();
        let asked = Asked::new(Self::NAME)
            .with("secretsmanager:SecretId", Some(&id))
            .with("secretsmanager:BlockPublicPolicy", self.block_public);
        let secret = call.live(&asked, &id)?;
        only_default(self.name.as_ref())?;
        let text = self.policy.unwrap_or_default();
        let policy =
            Policy::parse(RESOURCE_POLICY, &text, Kind::Resource).map_err(|e| malformed(&e))?;
        if self.block_public.unwrap_or(false)
            && let Some(why) = policy::public(&policy)
        {
            return Err(ApiError::new(
                "PublicPolicyException",
                format!("You can't attach a resource policy that allows broad access: {why}"),
            ));
        }
        secrets::set_policy(call.tx, &secret, Some(&text))?;
        // A policy that locks out its author could not be removed again.
        let secret = secrets::find(call.tx, &secret.arn)?;
        call.still(&asked, &secret).map_err(|e| {
            VaultError::InvalidRequest(format!(
                "This resource policy would not let you change it again, so that it was not \
                 attached: {}",
                e.message
            ))
        })?;
        Ok(NamedPolicy {
            named: secret.into(),
            policy: self.name,
        })
    }
}

fn malformed(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(
        "MalformedPolicyDocumentException",
        format!("This resource policy contains an error: {error}"),
    )
}

request!(GetResourcePolicy {
    id: String = "SecretId",
    name: String = "PolicyName",
});

answer!(Found {
    arn: String = "ARN",
    name: String = "Name";
    policy: String = "ResourcePolicy",
    policy_name: String = "PolicyName",
});

impl Operation for GetResourcePolicy {
    type Answer = Found;
    const NAME: &'static str = "GetResourcePolicy";
    const WRITES: bool = false;

    fn check(&self, check: &mut Check) {
        check.secret_id(self.id.as_ref());
        check_policy_name(check, self.name.as_ref());
    }

    fn run(self, call: &Call<'_>) -> Result<Found, ApiError> {
        let id = self.id.unwrap_or_default();
        let asked = Asked::new(Self::NAME).with("secretsmanager:SecretId", Some(&id));
        let secret = call.live(&asked, &id)?;
        if let Some(name) = self.name.as_ref().filter(|name| *name != DEFAULT) {
            return Err(VaultError::ResourceNotFound(format!(
                "Secrets Manager can't find the resource policy {name}."
            ))
            .into());
        }
        Ok(Found {
            arn: secret.arn,
            name: secret.name,
            policy_name: self.name.filter(|_| secret.policy.is_some()),
            policy: secret.policy,
        })
    }
}

request!(DeleteResourcePolicy {
    id: String = "SecretId",
    name: String = "PolicyName",
});

impl Operation for DeleteResourcePolicy {
    type Answer = NamedPolicy;
    const NAME: &'static str = "DeleteResourcePolicy";
    const WRITES: bool = true;

    fn check(&self, check: &mut Check) {
        check.secret_id(self.id.as_ref());
        check_policy_name(check, self.name.as_ref());
    }

    fn run(self, call: &Call<'_>) -> Result<NamedPolicy, ApiError> {
        let id = self.id.unwrap_or_default();
        let asked = Asked::new(Self::NAME).with("secretsmanager:SecretId", Some(&id));
        let secret = call.live(&asked, &id)?;
        only_default(self.name.as_ref())?;
        secrets::set_policy(call.tx, &secret, None)?;
        Ok(NamedPolicy {
            named: secret.into(),
            policy: self.name,
        })
    }
}

request!(ListResourcePolicies {
    id: String = "SecretId",
    limit: i64 = "MaxResults",
    next: String = "NextToken",
});

answer!(Summary {
    name: String = "PolicyName";
});

answer!(Listed {
    policies: Vec<Summary> = "ResourcePolicies";
});

impl Operation for ListResourcePolicies {
    type Answer = Listed;
    const NAME: &'static str = "ListResourcePolicies";
    const WRITES: bool = false;

    fn check(&self, check: &mut Check) {
        check.secret_id(self.id.as_ref());
        check.number("maxResults", self.limit, 1..=100);
        check.next_token(self.next.as_ref());
    }

    fn run(self, call: &Call<'_>) -> Result<Listed, ApiError> {
        let id = self.id.unwrap_or_default();
        let asked = Asked::new(Self::NAME).with("secretsmanager:SecretId", Some(&id));
        let secret = call.live(&asked, &id)?;
        if self.next.is_some() {
            // There is never a second page.
            let text = "The NextToken value is invalid.";
            return Err(VaultError::InvalidNextToken(text.into()).into());
        }
        let default = secret.policy.map(|_| Summary {
            name: DEFAULT.into(),
        });
        Ok(Listed {
            policies: default.into_iter().collect(),
        })
    }
}

request!(ValidateResourcePolicy {
    id: String = "SecretId",
    policy: String = "ResourcePolicy",
});

answer!(Finding {
    check: String = "CheckName",
    message: String = "ErrorMessage";
});

answer!(Validated {
    passed: bool = "PolicyValidationPassed",
    errors: Vec<Finding> = "ValidationErrors";
});

impl Operation for ValidateResourcePolicy {
    type Answer = Validated;
    const NAME: &'static str = "ValidateResourcePolicy";
    const WRITES: bool = false;

    fn check(&self, check: &mut Check) {
        check.text("secretId", self.id.as_ref(), 1..=2048);
        check.required("resourcePolicy", self.policy.as_ref());
        check.text("resourcePolicy", self.policy.as_ref(), 1..=DOCUMENT_LIMIT);
    }

    fn run(self, call: &Call<'_>) -> Result<Validated, ApiError> {
        let asked = Asked::new(Self::NAME).with("secretsmanager:SecretId", self.id.as_ref());
        let secret = match &self.id {
            Some(id) => Some(call.secret(&asked, id)?),
            None => {
                call.allow(&asked)?;
                None
            }
        };
        let arn = secret.as_ref().map_or("*", |s| s.arn.as_str());
        let text = self.policy.unwrap_or_default();
        let mut errors: Vec<Finding> = policy::validate(&text, arn, None)
            .into_iter()
            .map(|finding| Finding {
                check: finding.check.name().to_owned(),
                message: finding.message,
            })
            .collect();
        // The caller's own permissions decide, as if the policy were attached. So
        // pgvalet itself is never locked out.
        if let Some(secret) = secret
            && Policy::parse(RESOURCE_POLICY, &text, Kind::Resource).is_ok()
        {
            let attached = Secret {
                policy: Some(text),
                ..secret
            };
            let changing = Asked::new(PutResourcePolicy::NAME);
            if let Err(e) = call.still(&changing, &attached) {
                errors.push(Finding {
                    check: policy::Check::CallerLockout.name().to_owned(),
                    message: e.message,
                });
            }
        }
        Ok(Validated {
            passed: errors.is_empty(),
            errors,
        })
    }
}
