//! Who is a client, and what may it use?
//!
//! A client is known by how it connects, never by what it says. The first
//! `[[client]]` rule that matches and grants the database decides; nobody else
//! gets in.
//!
//! * `evidence` what is known of a connection, gathered before any rule is asked
//! * `identity` the kinds of identity: what a rule can ask of its clients
//! * `rule`     a `[[client]]` rule
//! * `mismatch` which conditions of a rule do not hold for a client
//! * `policy`   all rules: what a client is asked for, and what is decided
//! * `decision` the outcome, and what each rule had to say
//! * `denial`   every reason not to let a client in, and what is said of it
//!
//! Evidence comes from
//!
//! * `account`     the users of this machine
//! * `loopback`    the owner of a TCP connection over loopback
//! * `certificate` the names in a client's certificate
//! * `token`       tokens, and the issuers that vouch for them
//! * `aws_iam`     callers that AWS STS vouches for
//!
//! Only the gathering asks the system, an issuer or the client. Everything after
//! it is a pure function of the identity, the requested database and user, and
//! the time, so that a session, a reload, `pgvalet explain` and the tests all see
//! one decision.

mod account;
pub mod aws_iam;
mod certificate;
mod certificate_name;
mod decision;
mod denial;
mod evidence;
mod identity;
mod loopback;
mod mismatch;
mod policy;
mod rule;
pub mod token;
mod validity;

pub use account::{Account, UserRef};
pub use aws_iam::Sts;
pub use certificate::Certificate;
pub use certificate_name::CertificateName;
pub use decision::{ConsoleGrant, Decision, Grant, Granted, Weighed};
pub use denial::Denial;
pub use evidence::Evidence;
pub use identity::{
    Ask, AwsIamRule, CertificateNames, Condition, Identity, IdentityKind, LoopbackUser, Networks,
    TokenMethod, TokenRule, Transport, UnixUser,
};
pub use mismatch::{Mismatch, Request};
pub use policy::Policy;
pub use rule::{AdminRight, CONSOLE, Rule, is_console};
pub use token::{TokenIssuer, TokenKeys, web_address};
pub use validity::Validity;
