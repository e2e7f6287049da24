//! Errors of a rotation.

use std::sync::Arc;

use crate::audit::AuditError;
use crate::secret::{AWSCURRENT, MalformedSecret, SecretId, StoreError, VersionId};
use crate::upstream::{ConnectError, TargetError};

/// What to do about a labelled version that is no credential.
fn way_out(secret: &SecretId, version: &VersionId, label: &Option<&str>) -> String {
    match label {
        Some(AWSCURRENT) => format!(
            "; store the right value with: pgvalet secret put {secret}, or give AWSCURRENT back to a version that is a credential: pgvalet secret stage {secret} AWSCURRENT --to VERSION --from {version}"
        ),
        Some(label) => format!(
            "; remove the label, and the next rotation begins anew: pgvalet secret stage {secret} {label} --from {version}"
        ),
        None => String::new(),
    }
}

/// Why a rotation did not finish. No variant holds a password or a verifier.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("version {version} of secret \"{secret}\": {error}{}", way_out(.secret, .version, .label))]
    Malformed {
        secret: SecretId,
        version: VersionId,
        /// The label of the version, where the rotation needs it.
        label: Option<&'static str>,
        error: MalformedSecret,
    },
    #[error("{0}; the rotation waits for it, as [audit] on_failure = \"deny\" says")]
    Audit(#[from] AuditError),
    #[error("{0}")]
    Target(#[from] TargetError),
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("{0}")]
    Sql(#[from] SqlError),
    /// No version that was tried logs in. So nothing proves that whoever wrote the
    /// secret may use this role.
    #[error(
        "no version of secret \"{secret}\" logs in as \"{user}\" (tried {tried}): {reason}; set the role's password to that of AWSCURRENT, then rotate again"
    )]
    NobodyLogsIn {
        secret: SecretId,
        user: String,
        tried: usize,
        sqlstate: String,
        reason: String,
    },
    #[error(
        "secret \"{0}\" is rotated by {1}; pgvalet only follows it: rotate it there, or take that rotation away first"
    )]
    LeftTo(SecretId, String),
    #[error(
        "another rotator works on secret \"{0}\" and did not finish in time ({1}); look at its log, or try again later"
    )]
    Busy(SecretId, String),
    #[error(
        "AWSPENDING of secret \"{secret}\" was moved to another version: another rotator is at work{then}"
    )]
    Lost {
        secret: SecretId,
        then: &'static str,
    },
    #[error(
        "AWSCURRENT of secret \"{0}\" was moved during the rotation: somebody changed the secret by hand; rotate again if that was not intended"
    )]
    Superseded(SecretId),
    #[error(
        "AWSPENDING (version {version}) of secret \"{secret}\" names another {what} than AWSCURRENT; correct the version, or remove the label with: pgvalet secret stage {secret} AWSPENDING --from {version}"
    )]
    Foreign {
        secret: SecretId,
        version: VersionId,
        what: &'static str,
    },
    #[error(
        "alternating users need an admin secret: give --admin-secret, or admin_secret in [secret.NAME] of the configuration"
    )]
    NoAdmin,
    /// The configuration has to list administrators: otherwise whoever writes a value could have
    /// any secret used.
    #[error(
        "masterarn of secret \"{secret}\" names \"{admin}\", which the configuration does not list as an administrator; if it is one, add [secret.\"{name}\"] admin_secret = \"{admin}\", or list it in [rotation] admin_secrets"
    )]
    AdminUnlisted {
        secret: SecretId,
        name: String,
        admin: String,
    },
    #[error(
        "the admin secret \"{admin}\" is for {its}, but \"{secret}\" logs in at {at}, and an administrator's password is sent to its own server only; correct host and port of one of the two, or set both in [database.{database}]"
    )]
    AdminElsewhere {
        admin: SecretId,
        secret: SecretId,
        database: Arc<str>,
        its: String,
        at: String,
    },
    #[error(
        "nothing but the value of \"{secret}\" says that {at} is the server of the admin secret \"{admin}\"; {remedy}"
    )]
    AdminNowhere {
        admin: SecretId,
        secret: SecretId,
        at: String,
        remedy: String,
    },
    #[error(
        "the user name \"{0}\" is too long for an alternate with \"_clone\": Postgres names have at most 63 bytes; use strategy single"
    )]
    LongName(String),
    #[error("the user name \"{0}\" has more than 63 bytes; Postgres cuts off the rest")]
    TooLong(String),
    #[error(
        "the server stores passwords as md5 (password_encryption): set it to scram-sha-256, or allow_md5 = true in [database.{0}]"
    )]
    Md5(String),
    #[error(
        "rotation.plaintext sends the new password in clear, and nothing encrypts the way to the server of [database.{0}]: set tls"
    )]
    Plaintext(String),
    #[error(
        "only the value of the secret says that \"{0}\" takes turns with \"{1}\", and in the database neither is a member of the other; set strategy = \"alternating\" in rotation if they do"
    )]
    Unrelated(String, String),
    #[error("\"{0}\" is a superuser and \"{1}\" is not, so that they cannot take turns")]
    Superuser(String, String),
    #[error(
        "\"{user}\" can not do what \"{than}\" can, so that the rotation stops before AWSCURRENT moves:\n  {}",
        .missing.join("\n  ")
    )]
    Less {
        user: String,
        than: String,
        missing: Vec<String>,
    },
    #[error(
        "the new version of secret \"{secret}\" did not serve here first, so that no other replica uses it: {why}; {then}"
    )]
    Canary {
        secret: SecretId,
        why: String,
        then: &'static str,
    },
    #[error(
        "the old password of \"{0}\" still logs in after the rotation; check pg_hba.conf, and whether something else sets passwords"
    )]
    OldStillWorks(String),
    #[error(
        "the new version of \"{0}\" is in force, but whether the old one is refused is not known: {1}"
    )]
    Unverified(SecretId, ConnectError),
    #[error(
        "{0} is not the server at which the secret's user logged in a moment before: it was restarted, or something on the way leads databases to several servers"
    )]
    OtherServer(String),
    #[error("the system gave no random bytes; try again")]
    Random,
}

/// A statement that the server refused, or that did not get through.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    #[error("{doing}: the server says {sqlstate}: {message}{hint}")]
    Refused {
        doing: &'static str,
        sqlstate: String,
        message: String,
        hint: &'static str,
    },
    #[error("{doing}: the connection failed: {reason}")]
    Broken { doing: &'static str, reason: String },
}

impl RotationError {
    /// Whether the same attempt may succeed later, because something could not be
    /// reached. Any other error ends the attempt, and the next one makes a new
    /// password.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(e) => e.is_transient(),
            Self::Connect(e) => !e.is_authentication(),
            Self::Sql(SqlError::Broken { .. })
            | Self::Unverified(..)
            | Self::Busy(..)
            | Self::Audit(_)
            | Self::OtherServer(_) => true,
            _ => false,
        }
    }

    /// Says that the error is about the version that has a label.
    pub(super) fn of_version_with(mut self, with: &'static str) -> Self {
        if let Self::Malformed { label, .. } = &mut self {
            *label = Some(with);
        }
        self
    }

    /// A short word for metrics and audit records.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Store(_) => "store",
            Self::Audit(_) => "audit",
            Self::Malformed { .. } | Self::Foreign { .. } => "malformed",
            Self::Target(_) | Self::Connect(_) | Self::OtherServer(_) => "connect",
            Self::Sql(_) => "sql",
            Self::NobodyLogsIn { .. } => "nobody_logs_in",
            Self::Busy(..) | Self::Lost { .. } | Self::Superseded(_) => "elsewhere",
            Self::Less { .. } => "less",
            Self::Canary { .. } => "canary",
            Self::OldStillWorks(_) | Self::Unverified(..) => "unverified",
            Self::LeftTo(..)
            | Self::NoAdmin
            | Self::AdminUnlisted { .. }
            | Self::AdminElsewhere { .. }
            | Self::AdminNowhere { .. }
            | Self::LongName(_)
            | Self::TooLong(_)
            | Self::Md5(_)
            | Self::Plaintext(_)
            | Self::Unrelated(..)
            | Self::Superuser(..)
            | Self::Random => "refused",
        }
    }
}
