//! How AWS STS is asked.

use hyper::Uri;

/// How STS is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sts {
    /// The value of the signed header `x-pgvalet-audience`: a request signed for
    /// another service is worth nothing here.
    pub audience: String,
    /// The endpoint of STS, instead of those of AWS.
    pub endpoint: Option<Uri>,
}
