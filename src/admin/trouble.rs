//! Something wrong that a person should know: the same words in `/status`, on the command
//! line, in the log and in the console.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Something that is wrong at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    pub kind: TroubleKind,
    #[serde(flatten)]
    pub place: Place,
    /// RFC 3339, in UTC.
    pub since: String,
    /// What is wrong, without a full stop.
    pub sentence: String,
    /// What to do about it.
    pub remedy: String,
}

/// Where something is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub database: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub secret: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub file: Option<Arc<str>>,
    /// The name of an `[[audit.sink]]`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sink: Option<Arc<str>>,
}

/// What is wrong. The names are those in JSON and of the metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TroubleKind {
    /// Records of the audit log cannot be written.
    AuditFails,
    /// A sink of the audit log does not take what it should.
    AuditSinkBehind,
    /// The database server cannot be reached, or lets nobody in.
    DatabaseDown,
    /// An administrator has paused or disabled the database.
    DatabasePaused,
    /// No known version of the secret logs in.
    NoLogin,
    /// AWSCURRENT does not log in; an older version is in force.
    VersionRefused,
    /// The secret cannot be read from its store.
    SecretUnread,
    /// A rotation failed, and no attempt has succeeded since.
    RotationFails,
    /// A rotation should have ended long ago.
    RotationOverdue,
    /// A rotation is due, and waits for a person's approval.
    RotationUnapproved,
    /// The share of `fleet_size` cannot be kept, or does not grow.
    FleetStuck,
    /// Clients wait long for a server connection.
    PoolExhausted,
    /// An older generation is in use beyond `drain_timeout`.
    DrainOverdue,
    /// The address that this replica hands out leads to another one.
    FleetAddress,
    /// As many clients are connected as `[listen] max_clients` allows.
    ClientsFull,
    /// The process has hardly any file descriptors left.
    Descriptors,
    /// A certificate has expired, or soon will.
    CertificateExpires,
    /// Files of a certificate have changed and cannot be used.
    CertificateUnread,
    /// The last reload failed.
    ReloadFailed,
}

impl TroubleKind {
    pub const ALL: [Self; 19] = [
        Self::AuditFails,
        Self::AuditSinkBehind,
        Self::DatabaseDown,
        Self::DatabasePaused,
        Self::NoLogin,
        Self::VersionRefused,
        Self::SecretUnread,
        Self::RotationFails,
        Self::RotationOverdue,
        Self::RotationUnapproved,
        Self::FleetStuck,
        Self::PoolExhausted,
        Self::DrainOverdue,
        Self::FleetAddress,
        Self::ClientsFull,
        Self::Descriptors,
        Self::CertificateExpires,
        Self::CertificateUnread,
        Self::ReloadFailed,
    ];

    /// The name in JSON and in the metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuditFails => "audit_fails",
            Self::AuditSinkBehind => "audit_sink_behind",
            Self::DatabaseDown => "database_down",
            Self::DatabasePaused => "database_paused",
            Self::NoLogin => "no_login",
            Self::VersionRefused => "version_refused",
            Self::SecretUnread => "secret_unread",
            Self::RotationFails => "rotation_fails",
            Self::RotationOverdue => "rotation_overdue",
            Self::RotationUnapproved => "rotation_unapproved",
            Self::FleetStuck => "fleet_stuck",
            Self::PoolExhausted => "pool_exhausted",
            Self::DrainOverdue => "drain_overdue",
            Self::FleetAddress => "fleet_address",
            Self::ClientsFull => "clients_full",
            Self::Descriptors => "descriptors",
            Self::CertificateExpires => "certificate_expires",
            Self::CertificateUnread => "certificate_unread",
            Self::ReloadFailed => "reload_failed",
        }
    }
}

impl TroubleKind {
    /// In a word, for a table.
    pub fn short(self) -> &'static str {
        match self {
            Self::AuditFails => "no audit",
            Self::AuditSinkBehind => "audit sink",
            Self::DatabaseDown => "down",
            Self::DatabasePaused => "paused",
            Self::NoLogin => "no login",
            Self::VersionRefused => "old version",
            Self::SecretUnread => "no secret",
            Self::RotationFails | Self::RotationOverdue => "not rotated",
            Self::RotationUnapproved => "approval",
            Self::FleetStuck => "no share",
            Self::PoolExhausted => "exhausted",
            Self::DrainOverdue => "drains long",
            Self::FleetAddress => "fleet",
            Self::ClientsFull => "full",
            Self::Descriptors => "descriptors",
            Self::CertificateExpires | Self::CertificateUnread => "certificate",
            Self::ReloadFailed => "reload",
        }
    }
}

impl fmt::Display for TroubleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_the_metric_use_the_same_names() {
        for kind in TroubleKind::ALL {
            let json = serde_json::to_value(kind).expect("JSON");
            assert_eq!(json, kind.as_str());
        }
    }

    #[test]
    fn a_trouble_is_flat_in_json() {
        let trouble = Trouble {
            kind: TroubleKind::SecretUnread,
            place: Place {
                secret: Some("prod/orders".into()),
                ..Place::default()
            },
            since: "2026-01-02T03:04:05Z".to_owned(),
            sentence: "it cannot be read".to_owned(),
            remedy: "make it".to_owned(),
        };
        let json = serde_json::to_value(&trouble).expect("JSON");
        assert_eq!(
            json,
            serde_json::json!({
                "kind": "secret_unread",
                "secret": "prod/orders",
                "since": "2026-01-02T03:04:05Z",
                "sentence": "it cannot be read",
                "remedy": "make it",
            })
        );
        let read: Trouble = serde_json::from_value(json).expect("a trouble");
        assert_eq!(read, trouble);
    }
}
