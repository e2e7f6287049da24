//! The kinds of identity: the ways in which a rule recognises its clients.
//!
//! Each kind is a key of `[[client]]` and has a file here. [`IdentityKind`] lists
//! them, and whatever concerns all kinds walks that list: the decision,
//! `pgvalet explain`, the warnings of `pgvalet check`, the identity in records
//! and the keys that error texts name.
//!
//! To add a kind: a file here with its [`Condition`], a variant and a field below,
//! its key in `config/keys/client.rs`, and the reading of the key in
//! `config/rules.rs`; and a field of `evidence.rs` for what is new in it.

mod aws_iam;
mod certificate;
mod loopback_user;
mod network;
#[cfg(test)]
mod tests;
mod token;
mod unix_user;

pub use aws_iam::AwsIamRule;
pub use certificate::CertificateNames;
pub use loopback_user::LoopbackUser;
pub use network::Networks;
pub use token::{TokenMethod, TokenRule};
pub use unix_user::UnixUser;

use super::Evidence;
use crate::audit::IdentityRef;

/// A way to recognise a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityKind {
    Network,
    UnixUser,
    LoopbackUser,
    Certificate,
    Token,
    AwsIam,
}

/// Who the clients of a rule are. All conditions that are given must hold, and
/// at least one is given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Identity {
    pub network: Option<Networks>,
    pub unix_user: Option<UnixUser>,
    pub loopback_user: Option<LoopbackUser>,
    pub certificate: Option<CertificateNames>,
    pub token: Option<TokenRule>,
    pub aws_iam: Option<AwsIamRule>,
}

/// What a rule asks of its clients in one kind of identity.
pub trait Condition {
    /// Whether the evidence fulfils the condition.
    fn matches(&self, evidence: &Evidence) -> bool;

    /// Why the evidence does not fulfil the condition, for the operator: a client never reads it.
    fn because(&self, evidence: &Evidence) -> String;

    /// What the condition asks for, in a few words.
    fn describe(&self) -> String;

    /// Whether every client that fulfils `other` fulfils this condition too.
    /// `false` where that cannot be told.
    fn covers(&self, other: &Identity) -> bool;

    /// How clients have to connect to fulfil the condition, where that matters.
    fn transport(&self) -> Option<Transport> {
        None
    }

    /// What the client can still be asked for to fulfil the condition.
    fn ask(&self, _evidence: &Evidence) -> Option<Ask<'_>> {
        None
    }
}

/// How a client connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Unix,
    Tcp,
    /// TCP with TLS.
    Tls,
}

/// What a client has to present, and how it is asked for it.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    pub method: TokenMethod,
    /// Where tokens come from. A caller of AWS signs for itself and has none.
    pub issuer: Option<&'a str>,
}

impl IdentityKind {
    /// All kinds, from the weakest to the strongest.
    pub const ALL: [Self; 6] = [
        Self::Network,
        Self::UnixUser,
        Self::LoopbackUser,
        Self::Certificate,
        Self::Token,
        Self::AwsIam,
    ];

    /// The key of `[[client]]`, which is also the `method` in audit records.
    pub fn key(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::UnixUser => "unix_user",
            Self::LoopbackUser => "loopback_user",
            Self::Certificate => "certificate",
            Self::Token => "token",
            Self::AwsIam => "aws_iam",
        }
    }

    /// The client's identity of this kind, as records show it; `None` if the
    /// evidence has none.
    fn of(self, evidence: &Evidence) -> Option<IdentityRef> {
        let identity = match self {
            Self::Network => network::identity(evidence),
            Self::UnixUser => unix_user::identity(evidence),
            Self::LoopbackUser => loopback_user::identity(evidence),
            Self::Certificate => certificate::identity(evidence),
            Self::Token => token::identity(evidence),
            Self::AwsIam => aws_iam::identity(evidence),
        }?;
        Some(IdentityRef {
            method: self.key().into(),
            ..identity
        })
    }
}

/// The strongest identity that is known of a client, as records show it.
pub(super) fn strongest(evidence: &Evidence) -> IdentityRef {
    let mut kinds = IdentityKind::ALL.iter().rev();
    kinds.find_map(|kind| kind.of(evidence)).unwrap_or_default()
}

impl Identity {
    /// The condition of one kind, if the rule has it.
    pub fn condition(&self, kind: IdentityKind) -> Option<&dyn Condition> {
        fn given<C: Condition>(condition: &Option<C>) -> Option<&dyn Condition> {
            condition.as_ref().map(|c| c as &dyn Condition)
        }
        match kind {
            IdentityKind::Network => given(&self.network),
            IdentityKind::UnixUser => given(&self.unix_user),
            IdentityKind::LoopbackUser => given(&self.loopback_user),
            IdentityKind::Certificate => given(&self.certificate),
            IdentityKind::Token => given(&self.token),
            IdentityKind::AwsIam => given(&self.aws_iam),
        }
    }

    /// The conditions that the rule has, in the order of [`IdentityKind::ALL`].
    pub fn conditions(&self) -> impl Iterator<Item = (IdentityKind, &dyn Condition)> {
        let kinds = IdentityKind::ALL.into_iter();
        kinds.filter_map(|kind| Some((kind, self.condition(kind)?)))
    }

    /// Whether every client that `other` recognises is recognised by this one.
    pub fn covers(&self, other: &Self) -> bool {
        self.conditions()
            .all(|(_, condition)| condition.covers(other))
    }

    /// Whether a client is recognised by its address alone.
    pub fn is_address_only(&self) -> bool {
        self.conditions()
            .all(|(kind, _)| kind == IdentityKind::Network)
    }
}
