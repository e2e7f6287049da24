//! A request: who asks to do what with which secret, in which context.

use std::collections::BTreeMap;

/// The caller, as policies know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// `arn:aws:iam::ACCOUNT:user/NAME`, or `…:root` for the account itself.
    pub arn: String,
    /// `aws:userid`. It is never used twice; a name may be.
    pub id: String,
    /// `aws:PrincipalTag/KEY`.
    pub tags: BTreeMap<String, String>,
}

impl Principal {
    /// The fifth part of the ARN.
    pub fn account(&self) -> &str {
        self.arn.split(':').nth(4).unwrap_or_default()
    }

    /// The last part of the ARN: `user/NAME`, `root`.
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

/// The condition keys of a request, except those of the principal. A key without
/// values counts as absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context(BTreeMap<String, Vec<String>>);

impl Context {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value to a key. Some keys have several (`aws:TagKeys`). The case of key
    /// names does not matter.
    pub fn add(&mut self, key: &str, value: impl Into<String>) {
        let values = self.0.entry(key.to_lowercase()).or_default();
        values.push(value.into());
    }

    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(&key.to_lowercase())
    }

    /// Does what [`Context::add`] does, to build a context in an expression.
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
    /// The values of a key, which is given in lower case. Keys of the principal are
    /// never taken from the context.
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
