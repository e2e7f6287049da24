//! `[[client]]`: what a rule says.

use std::sync::Arc;

use ipnet::IpNet;

use super::{AwsIamRule, CertificateName, TokenRule, Validity};
use crate::secret::SecretId;

/// A `[[client]]` rule. All conditions that are given must hold, and at least
/// one is given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rule {
    pub name: Arc<str>,
    /// Where it stands among the rules, from 1: what records and `explain` call it.
    pub rule: usize,
    pub network: Option<Vec<IpNet>>,
    pub unix_user: Option<UserRef>,
    /// Whose the client's end of a TCP connection over loopback is.
    pub loopback_user: Option<UserRef>,
    pub token: Option<TokenRule>,
    pub aws_iam: Option<AwsIamRule>,
    /// Names of which its certificate must have one.
    pub certificate: Option<Vec<CertificateName>>,
    /// In the order of the file; patterns (`orders_*`) are replaced by the
    /// databases they match.
    pub databases: Vec<Arc<str>>,
    /// User names it may ask for; `None` is any, because the upstream user
    /// comes from the secret anyway.
    pub users: Option<Vec<String>>,
    /// Overrides the database's secret.
    pub secret: Option<SecretId>,
    /// How many of the pool's server connections its clients may hold at once.
    pub pool_size: Option<usize>,
    /// How many sessions of this name there may be at once.
    pub max_clients: Option<usize>,
    /// When the rule is in force; `None` is always.
    pub valid: Option<Validity>,
}

impl Rule {
    /// Whether the rule is in force at a moment.
    pub fn holds(&self, now: chrono::DateTime<chrono::Utc>) -> bool {
        self.valid.as_ref().is_none_or(|valid| valid.holds(now))
    }
}

/// A user (or group) of this machine, as written: the name of a client's uid is looked up
/// when it connects, so that a user who is made later needs no reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserRef {
    Name(String),
    Uid(u32),
}

impl std::fmt::Display for UserRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Uid(uid) => write!(f, "uid {uid}"),
        }
    }
}
