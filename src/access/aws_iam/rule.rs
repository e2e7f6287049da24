//! What a rule says of callers of AWS.

use hyper::Uri;

use crate::base::Pattern;

/// A caller that AWS STS vouches for, and which one it has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsIamRule {
    /// The ARN of the role (or user), `arn:aws:iam::ACCOUNT:role/NAME`; for a
    /// role without its path, which STS does not tell.
    pub role: Pattern,
    pub sts: Sts,
}

/// How STS is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sts {
    /// The value of the signed header `x-pgvalet-audience`: what was made for
    /// another service is worth nothing here.
    pub audience: String,
    /// Instead of the endpoints of AWS.
    pub endpoint: Option<Uri>,
}
