//! What several records have in common: identities, versions, servers, uses.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Who a client or caller is, and how it was recognised.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityRef {
    /// `network`, `unix_user`, …
    pub method: Arc<str>,
    pub subject: Arc<str>,
    /// The authority that vouches for the subject.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub issuer: Option<Arc<str>>,
    /// SHA-256 of the client's certificate.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cert_sha256: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pid: Option<i32>,
    /// The program at the other end, where it could be found out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub exe: Option<Arc<str>>,
    /// The `jti` of the token.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token_id: Option<Arc<str>>,
}

/// A version of a secret. Never its value, a part of the value, or a hash of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialRef {
    pub secret: Arc<str>,
    /// Left out where clients use it: the `secret.adopt` of the version has ARN and labels.
    #[serde(skip_serializing_if = "is_empty", default)]
    pub arn: Arc<str>,
    pub version: Arc<str>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub stages: Vec<String>,
    #[serde(skip_serializing_if = "is_empty", default)]
    pub user: Arc<str>,
}

fn is_empty(text: &Arc<str>) -> bool {
    text.is_empty()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl CredentialRef {
    /// Without what the `secret.adopt` of the version says.
    pub(super) fn short(self) -> Self {
        Self {
            arn: Arc::default(),
            stages: Vec::new(),
            user: Arc::default(),
            ..self
        }
    }
}

/// What a session did with one version since its last summary. The end of a session leaves out
/// what its other records say: see `session.end` in docs/AUDIT.md.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseRef {
    #[serde(skip_serializing_if = "is_empty", default)]
    pub secret: Arc<str>,
    #[serde(skip_serializing_if = "is_empty", default)]
    pub version: Arc<str>,
    /// How many leases began.
    pub leases: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transactions: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes_out: Option<u64>,
    /// When it was used first and last, within a second (RFC 3339).
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub first: String,
    pub last: String,
    /// The server processes, and how many more there were than are named.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub pids: Vec<i32>,
    #[serde(skip_serializing_if = "is_zero", default)]
    pub other_pids: u64,
}

/// A change of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigRef {
    /// SHA-256 of the values in force before and now, in one form however they are written.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<String>,
    pub after: String,
    /// The keys whose values differ.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub changed: Vec<String>,
    /// Those that are not in force before a restart.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub after_restart: Vec<String>,
}

/// A server connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerRef {
    /// Left out where clients use it: the `server.open` of the process has host and port.
    #[serde(skip_serializing_if = "is_empty", default)]
    pub host: Arc<str>,
    #[serde(skip_serializing_if = "is_no_port", default)]
    pub port: u16,
    /// The process id of its backend, once there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pid: Option<i32>,
}

impl ServerRef {
    /// Without what the `server.open` of the process says.
    pub(super) fn short(self) -> Self {
        Self {
            host: Arc::default(),
            port: 0,
            pid: self.pid,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_no_port(port: &u16) -> bool {
    *port == 0
}
