//! One statement: which principals, actions, resources and conditions it is about.

use super::condition::{self, Condition};
use super::document::{Effect, Fields, Kind, Listed, PolicyError, texts, wrong};
use super::json::Json;
use super::pattern::{Case, Pattern, Syntax};
use super::principal::{self, Who};
use super::request::Request;

const KEYS: &[&str] = &[
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];
const SID_LIMIT: usize = 256;

#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    pub sid: Option<String>,
    pub effect: Effect,
    /// `None` in identity policies, which are about the principal they belong to.
    pub principal: Option<Listed<Who>>,
    pub action: Listed<Pattern>,
    pub resource: Listed<Pattern>,
    /// All of them must hold.
    pub conditions: Vec<Condition>,
}

impl Statement {
    pub fn parse(at: &str, value: &Json, kind: Kind, variables: bool) -> Result<Self, PolicyError> {
        let mut fields = Fields::of(at, value)?;
        let sid = match fields.take("Sid") {
            None => None,
            Some(Json::Text(sid)) => Some(checked_sid(at, sid, kind)?),
            Some(_) => return Err(wrong(at, "Sid must be text")),
        };
        let effect = match fields.take("Effect") {
            Some(Json::Text(effect)) if effect == "Allow" => Effect::Allow,
            Some(Json::Text(effect)) if effect == "Deny" => Effect::Deny,
            _ => return Err(wrong(at, "Effect must be \"Allow\" or \"Deny\"")),
        };
        let principal = fields.take_listed("Principal", principal::parse)?;
        match (kind, &principal) {
            (Kind::Identity, Some(_)) => {
                return Err(wrong(
                    at,
                    "has a principal, but the policy of a principal is about that one",
                ));
            }
            (Kind::Resource, None) => {
                return Err(wrong(at, "has no Principal: who may, or may not?"));
            }
            _ => {}
        }
        let action = fields
            .take_listed("Action", |at, value| patterns(at, value, action))?
            .ok_or_else(|| wrong(at, "has neither Action nor NotAction"))?;
        let resource = fields
            .take_listed("Resource", |at, value| {
                patterns(at, value, |at, text| resource(at, text, variables))
            })?
            .ok_or_else(|| wrong(at, "has neither Resource nor NotResource"))?;
        let conditions = match fields.take("Condition") {
            None => Vec::new(),
            Some(value) => condition::parse(&format!("{at}.Condition"), value, variables)?,
        };
        fields.finish(KEYS)?;
        Ok(Self {
            sid,
            effect,
            principal,
            action,
            resource,
            conditions,
        })
    }

    /// Whether the statement is about this request.
    pub fn applies(&self, request: &Request<'_>) -> bool {
        self.is_about_principal(request)
            && self.is_about_action(request)
            && self.is_about_resource(request)
            && self.conditions.iter().all(|c| c.holds(request))
    }

    fn is_about_principal(&self, request: &Request<'_>) -> bool {
        match &self.principal {
            None => true,
            Some(Listed::These(list)) => list
                .iter()
                .any(|who| who.covers(request.principal, self.effect)),
            Some(Listed::AllBut(list)) => !list.iter().any(|who| who.exempts(request.principal)),
        }
    }

    fn is_about_action(&self, request: &Request<'_>) -> bool {
        let matches = |p: &Pattern| p.matches(request.action, Case::Ignored, request);
        match &self.action {
            Listed::These(list) => list.iter().any(matches),
            Listed::AllBut(list) => !list.iter().any(matches),
        }
    }

    fn is_about_resource(&self, request: &Request<'_>) -> bool {
        let matches = |p: &Pattern| p.matches(request.resource, Case::Matters, request);
        match &self.resource {
            Listed::These(list) => list.iter().any(matches),
            // In an Allow, a variable without a value would exempt nothing, and so
            // allow more than was meant.
            Listed::AllBut(list) => {
                !list.iter().any(matches)
                    && (self.effect == Effect::Deny
                        || list.iter().all(|p| p.expand(request).is_some()))
            }
        }
    }
}

fn checked_sid(at: &str, sid: &str, kind: Kind) -> Result<String, PolicyError> {
    let allowed = |c: char| match kind {
        Kind::Identity => c.is_ascii_alphanumeric(),
        Kind::Resource => c.is_ascii_graphic() || c == ' ',
    };
    if sid.len() > SID_LIMIT || !sid.chars().all(allowed) {
        return Err(wrong(
            at,
            format!("the Sid {sid:?} must be of letters and digits, at most {SID_LIMIT}"),
        ));
    }
    Ok(sid.to_owned())
}

fn patterns(
    at: &str,
    value: &Json,
    parse: impl Fn(&str, &str) -> Result<Pattern, PolicyError>,
) -> Result<Vec<Pattern>, PolicyError> {
    let mut patterns = Vec::new();
    for text in texts(at, value)? {
        patterns.push(parse(at, text)?);
    }
    Ok(patterns)
}

/// Parses `*` or `service:Operation`, with wildcards in the operation.
fn action(at: &str, text: &str) -> Result<Pattern, PolicyError> {
    let is_service =
        |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_operation = |s: &str| {
        !s.is_empty()
            && s.bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'*' | b'?' | b'-' | b'_'))
    };
    let valid = text == "*"
        || text
            .split_once(':')
            .is_some_and(|(service, operation)| is_service(service) && is_operation(operation));
    if !valid {
        return Err(wrong(
            at,
            format!("{text:?} is no action; write one such as secretsmanager:GetSecretValue, or *"),
        ));
    }
    let syntax = Syntax {
        wildcards: true,
        variables: false,
    };
    Pattern::parse(text, syntax).map_err(|problem| wrong(at, problem))
}

/// Parses `*` or an ARN with wildcards.
fn resource(at: &str, text: &str, variables: bool) -> Result<Pattern, PolicyError> {
    let syntax = Syntax {
        wildcards: true,
        variables,
    };
    let is_arn =
        text.starts_with("arn:") && (text.matches(':').count() >= 5 || text.ends_with('*'));
    if text != "*" && !is_arn {
        return Err(wrong(
            at,
            format!(
                "{text:?} is no resource; write * or an ARN such as \
                 arn:aws:secretsmanager:*:*:secret:prod/*"
            ),
        ));
    }
    Pattern::parse(text, syntax).map_err(|problem| wrong(at, problem))
}
