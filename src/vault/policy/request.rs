//! What is asked: by whom, to do what, with which secret, in which context.

use std::collections::BTreeMap;

/// Somebody who asks, by the ARN that policies know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// `arn:aws:iam::ACCOUNT:user/NAME`, or `…:root` for the account itself.
    pub arn: String,
    /// `aws:userid`: unique for ever, while names may be given again.
    pub id: String,
    /// `aws:PrincipalTag/KEY`.
    pub tags: BTreeMap<String, String>,
}

impl Principal {
    /// The fifth part of the ARN.
    pub fn account(&self) -> &str {
        self.arn.split(':').nth(4).unwrap_or_default()
    }

    /// `user/NAME` and the like.
    fn resource(&self) -> &str {
        self.arn.splitn(6, ':').nth(5).unwrap_or_default()
    }

    pub fn is_root(&self) -> bool {
        self.resource() == "root"
    }

    /// The last part of a user's path.
    pub fn user_name(&self) -> Option<&str> {
        self.resource().strip_prefix("user/")?.rsplit('/').next()
    }
}

/// The condition keys of a request, beyond those that the principal brings.
/// A key without values is as good as absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context(BTreeMap<String, Vec<String>>);

impl Context {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value; keys that can have several (`aws:TagKeys`) get one after
    /// the other. Names of keys are compared without regard to case.
    pub fn add(&mut self, key: &str, value: impl Into<String>) {
        let values = self.0.entry(key.to_lowercase()).or_default();
        values.push(value.into());
    }

    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(&key.to_lowercase())
    }

    /// [`Context::add`], for building one in an expression.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.add(key, value);
        self
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub principal: &'a Principal,
    /// `secretsmanager:GetSecretValue`
    pub action: &'a str,
    /// The ARN of the secret, or `*` for operations without one.
    pub resource: &'a str,
    pub context: &'a Context,
}

impl<'a> Request<'a> {
    /// The values of a key in small letters. What the principal brings cannot
    /// be claimed by the context.
    pub(super) fn values(&self, key: &str) -> Vec<&'a str> {
        let who = self.principal;
        if let Some(tag) = key.strip_prefix("aws:principaltag/") {
            let mut tags = who.tags.iter();
            return tags
                .find(|(name, _)| name.to_lowercase() == tag)
                .map(|(_, value)| vec![value.as_str()])
                .unwrap_or_default();
        }
        match key {
            "aws:principalarn" => vec![&who.arn],
            "aws:principalaccount" => vec![who.account()],
            "aws:userid" => vec![&who.id],
            "aws:username" => who.user_name().into_iter().collect(),
            "aws:principaltype" if who.is_root() => vec!["Account"],
            "aws:principaltype" => vec!["User"],
            _ => match self.context.0.get(key) {
                Some(values) => values.iter().map(String::as_str).collect(),
                None => Vec::new(),
            },
        }
    }
}
