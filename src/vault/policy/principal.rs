//! Principal and NotPrincipal of a resource policy.

use super::document::{Effect, PolicyError, texts, wrong};
use super::json::Json;
use super::request::Principal;

#[derive(Debug, Clone, PartialEq)]
pub enum Who {
    /// `"*"`, `{"AWS": "*"}`
    Anyone,
    /// An account's number, or the ARN of its root.
    Account(String),
    Arn(String),
    /// AWS services and federated users, who never call this store. They are accepted
    /// so that policies can be copied from AWS as they are.
    Elsewhere,
}

impl Who {
    /// Whether a statement with this principal is about the caller. In an Allow an
    /// account means its root only: its users need identity policies. In a Deny it
    /// means everybody in the account.
    pub fn covers(&self, principal: &Principal, effect: Effect) -> bool {
        match self {
            Self::Anyone => true,
            Self::Account(account) => {
                principal.account() == account && (effect == Effect::Deny || principal.is_root())
            }
            Self::Arn(arn) => *arn == principal.arn,
            Self::Elsewhere => false,
        }
    }

    /// Whether NotPrincipal exempts the caller. An account means its root only, because
    /// AWS requires that it is listed beside each user who is exempted.
    pub fn exempts(&self, principal: &Principal) -> bool {
        match self {
            Self::Account(account) => principal.account() == account && principal.is_root(),
            other => other.covers(principal, Effect::Deny),
        }
    }
}

pub fn parse(at: &str, value: &Json) -> Result<Vec<Who>, PolicyError> {
    match value {
        Json::Text(text) if text == "*" => Ok(vec![Who::Anyone]),
        Json::Object(kinds) if !kinds.is_empty() => {
            let mut all = Vec::new();
            for (kind, value) in kinds {
                let at = format!("{at}.{kind}");
                for text in texts(&at, value)? {
                    all.push(match kind.as_str() {
                        "AWS" => aws(&at, text)?,
                        "Service" | "Federated" | "CanonicalUser" => Who::Elsewhere,
                        _ => {
                            return Err(wrong(
                                &at,
                                "is no kind of principal; there are AWS, Service, Federated \
                                 and CanonicalUser",
                            ));
                        }
                    });
                }
            }
            Ok(all)
        }
        Json::Object(_) => Err(wrong(at, "names nobody; write {\"AWS\": \"ARN\"}")),
        other => Err(wrong(
            at,
            format!(
                "must be \"*\" or an object such as {{\"AWS\": \"ARN\"}}, not {}",
                other.kind()
            ),
        )),
    }
}

fn aws(at: &str, text: &str) -> Result<Who, PolicyError> {
    let is_account = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    if text == "*" {
        return Ok(Who::Anyone);
    }
    if is_account(text) {
        return Ok(Who::Account(text.to_owned()));
    }
    if text.contains(['*', '?']) {
        return Err(wrong(
            at,
            format!(
                "{text:?} has a wildcard, but a principal is \"*\" or one exact ARN; write \"*\" \
                 and a Condition on aws:PrincipalArn"
            ),
        ));
    }
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", partition, "iam", "", account, "root"]
            if partition.starts_with("aws") && is_account(account) =>
        {
            Ok(Who::Account((*account).to_owned()))
        }
        ["arn", partition, service, "", account, resource]
            if partition.starts_with("aws")
                && is_account(account)
                && matches!(
                    (*service, resource.split_once('/')),
                    ("iam", Some(("user" | "role", name)))
                    | ("sts", Some(("assumed-role" | "federated-user", name))) if !name.is_empty()
                ) =>
        {
            Ok(Who::Arn(text.to_owned()))
        }
        _ => Err(wrong(
            at,
            format!(
                "{text:?} is no principal; write \"*\", an account's twelve digits, or the ARN of \
                 a user such as arn:aws:iam::000000000000:user/NAME"
            ),
        )),
    }
}
