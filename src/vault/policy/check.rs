//! The checks of a resource policy before it is attached, which
//! ValidateResourcePolicy reports as well: is it a policy, does it open the secret
//! to everybody, does it lock out its author?

use ipnet::IpNet;

use super::condition::{Condition, Quantifier, Test};
use super::document::{Effect, Kind, Listed, Policy, PolicyError};
use super::evaluate::{Decision, evaluate};
use super::pattern::{Case, Pattern, Token};
use super::principal::Who;
use super::request::{Context, Principal, Request};
use super::statement::Statement;

/// The operations of Secrets Manager. An action in a policy that matches none of them
/// has no effect.
const OPERATIONS: &[&str] = &[
    "BatchGetSecretValue",
    "CancelRotateSecret",
    "CreateSecret",
    "DeleteResourcePolicy",
    "DeleteSecret",
    "DescribeSecret",
    "GetRandomPassword",
    "GetResourcePolicy",
    "GetSecretValue",
    "ListSecretVersionIds",
    "ListSecrets",
    "PutResourcePolicy",
    "PutSecretValue",
    "RemoveRegionsFromReplication",
    "ReplicateSecretToRegions",
    "RestoreSecret",
    "RotateSecret",
    "StopReplicationToReplica",
    "TagResource",
    "UntagResource",
    "UpdateSecret",
    "UpdateSecretVersionStage",
    "ValidateResourcePolicy",
];

/// The operation that a text means, which may have the service in front.
pub fn operation(text: &str) -> Option<&'static str> {
    let bare = match text.split_once(':') {
        Some((service, bare)) if service.eq_ignore_ascii_case("secretsmanager") => bare,
        Some(_) => return None,
        None => text,
    };
    OPERATIONS
        .iter()
        .copied()
        .find(|operation| operation.eq_ignore_ascii_case(bare))
}

/// Condition keys that restrict a statement for everybody to fixed principals or
/// places, if they are compared with fixed values.
const NARROWING: &[&str] = &[
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceip",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:userid",
    "aws:vpcsourceip",
];

/// Who attaches a policy.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    pub principal: &'a Principal,
    pub identity: &'a [Policy],
    pub context: &'a Context,
}

/// An entry of ValidationErrors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub check: Check,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    Syntax,
    PublicAccess,
    CallerLockout,
    /// A statement that no request for this secret can meet.
    WithoutEffect,
}

impl Check {
    /// `CheckName` of the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Syntax => "PolicySyntax",
            Self::PublicAccess => "PublicAccess",
            Self::CallerLockout => "CallerLockout",
            Self::WithoutEffect => "StatementWithoutEffect",
        }
    }
}

/// Checks a policy for the secret with this ARN, or with `*` for no secret in
/// particular. Returns what is wrong with it.
pub fn validate(text: &str, arn: &str, caller: Option<Caller<'_>>) -> Vec<Finding> {
    let policy = match Policy::parse("this policy", text, Kind::Resource) {
        Ok(policy) => policy,
        Err(e) => return vec![finding(Check::Syntax, e.to_string())],
    };
    let mut findings = Vec::new();
    if let Some(message) = public(&policy) {
        findings.push(finding(Check::PublicAccess, message));
    }
    if let Some(message) = caller.and_then(|caller| locks_out(&policy, arn, caller)) {
        findings.push(finding(Check::CallerLockout, message));
    }
    for (index, statement) in policy.statements.iter().enumerate() {
        if let Some(why) = without_effect(statement, arn) {
            let message = format!("{} {why}", name(statement, index));
            findings.push(finding(Check::WithoutEffect, message));
        }
    }
    findings
}

fn finding(check: Check, message: String) -> Finding {
    Finding { check, message }
}

fn name(statement: &Statement, index: usize) -> String {
    match &statement.sid {
        Some(sid) => format!("Statement {sid:?}"),
        None => format!("Statement[{index}]"),
    }
}

/// What is wrong with the first statement that lets in everybody, if there is one.
pub fn public(policy: &Policy) -> Option<String> {
    let open = |statement: &Statement| {
        let anyone = match &statement.principal {
            Some(Listed::These(list)) => list.contains(&Who::Anyone),
            Some(Listed::AllBut(_)) => true,
            None => false,
        };
        statement.effect == Effect::Allow && anyone && !statement.conditions.iter().any(narrows)
    };
    let (index, statement) = policy
        .statements
        .iter()
        .enumerate()
        .find(|(_, statement)| open(statement))?;
    Some(format!(
        "{} allows any principal; name principals, or add a Condition with fixed values, for \
         example on aws:PrincipalArn or aws:SourceIp",
        name(statement, index)
    ))
}

/// Whether the condition holds only for fixed principals or places.
fn narrows(condition: &Condition) -> bool {
    if condition.negated
        || condition.if_exists
        || condition.quantifier == Some(Quantifier::All)
        || !NARROWING.contains(&condition.key.as_str())
    {
        return false;
    }
    match &condition.test {
        Test::Text(_, patterns) | Test::Arn(patterns) => patterns.iter().all(is_fixed),
        Test::Ip(networks) => networks.iter().all(|network| match network {
            IpNet::V4(network) => network.prefix_len() >= 8,
            IpNet::V6(network) => network.prefix_len() >= 32,
        }),
        Test::Numeric(..) | Test::Date(..) | Test::Bool(_) | Test::Null(_) => false,
    }
}

/// Whether a text has no wildcards; an ARN may have them, but not in its account.
fn is_fixed(pattern: &Pattern) -> bool {
    let fixed = |tokens: &[Token]| tokens.iter().all(|t| matches!(t, Token::Char(_)));
    pattern.tokens().is_some_and(|tokens| {
        let mut parts = tokens.splitn(6, |t| *t == Token::Char(':'));
        fixed(tokens)
            || (parts
                .nth(4)
                .is_some_and(|account| !account.is_empty() && fixed(account))
                && parts.next().is_some())
    })
}

/// Why the caller could not change the policy again once it is attached, if so.
pub fn locks_out(policy: &Policy, arn: &str, caller: Caller<'_>) -> Option<String> {
    let request = Request {
        principal: caller.principal,
        action: "secretsmanager:PutResourcePolicy",
        resource: arn,
        context: caller.context,
    };
    match evaluate(&request, caller.identity, Some(policy)) {
        Decision::Allowed(_) => None,
        decision => Some(format!(
            "{} could not change the policy again: secretsmanager:PutResourcePolicy would be \
             {decision}",
            caller.principal.arn
        )),
    }
}

fn without_effect(statement: &Statement, arn: &str) -> Option<&'static str> {
    // Patterns without variables can be compared without a request.
    let some = |list: &Listed<Pattern>, names: &[&str], case| match list {
        Listed::These(patterns) => patterns.iter().any(|pattern| {
            pattern
                .tokens()
                .is_none_or(|t| names.iter().any(|n| super::pattern::matches(t, n, case)))
        }),
        Listed::AllBut(_) => true,
    };
    let actions: Vec<String> = OPERATIONS
        .iter()
        .map(|operation| format!("secretsmanager:{operation}"))
        .collect();
    let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
    if !some(&statement.action, &actions, Case::Ignored) {
        return Some("names no operation of Secrets Manager");
    }
    if arn != "*" && !some(&statement.resource, &[arn], Case::Matters) {
        return Some("is not about this secret; write \"Resource\": \"*\"");
    }
    None
}

/// Parses the resource policy of a secret, under the name that decisions give it.
pub fn of_secret(name: &str, text: &str) -> Result<Policy, PolicyError> {
    Policy::parse(
        &format!("the resource policy of {name}"),
        text,
        Kind::Resource,
    )
}
