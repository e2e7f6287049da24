//! The content of one version of a secret: where to log in, as which user, with
//! which password.

mod document;

use std::sync::Arc;
use std::time::SystemTime;

use zeroize::Zeroizing;

use super::{SecretId, VersionId};
pub use document::unread_field;

/// A password in memory: wiped when dropped, and impossible to print. It has no
/// `Debug`, `Display` or `Serialize`, so that no log line can hold it by accident.
#[derive(Clone)]
pub struct Password(Arc<Zeroizing<String>>);

impl Password {
    pub fn new(text: String) -> Self {
        Self(Arc::new(Zeroizing::new(text)))
    }

    /// The password itself, for the one place that logs in with it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// What a login to Postgres proves itself by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UpstreamAuth {
    /// The password of the secret.
    #[default]
    Password,
    /// A token of RDS IAM authentication, made with the AWS credentials of this
    /// process. The secret has only host and user.
    RdsIam,
}

/// The immutable content of one version of a secret. Deliberately without
/// `Debug`.
pub struct Credential {
    /// The secret as the configuration names it.
    pub secret: SecretId,
    pub arn: Arc<str>,
    pub version: VersionId,
    /// The staging labels of the version when it was fetched.
    pub stages: Vec<String>,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub dbname: Option<String>,
    pub username: String,
    pub password: Password,
    /// `RdsIam` where the secret has `"auth": "rds-iam"`: its role has no password.
    pub auth: UpstreamAuth,
    pub fetched_at: SystemTime,
}

/// Why the value of a secret is no credential. The text never quotes the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedSecret {
    #[error(
        "the value is not a JSON object; store it as {{\"username\":…,\"password\":…,\"host\":…}}"
    )]
    NotJson,
    #[error(
        "the JSON has no usable {0:?}; a credential needs at least \"username\" and \"password\""
    )]
    Missing(&'static str),
    /// A field has another name than in the secrets of RDS.
    #[error("the JSON has {found:?}, which pgvalet does not read; call it {meant:?}")]
    Misnamed {
        found: &'static str,
        meant: &'static str,
    },
    #[error("{0:?} has the wrong type or an empty or invalid value")]
    Invalid(&'static str),
    #[error(
        "the engine is {0:?}, but pgvalet speaks only to PostgreSQL (\"postgres\", \"aurora-postgresql\")"
    )]
    Engine(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretValue;

    /// This test compiles only while the types have no Debug: with one, both implementations fit,
    /// and the name is ambiguous.
    #[test]
    fn secrets_cannot_be_printed() {
        trait NoDebug<Which> {
            fn holds() {}
        }
        struct Otherwise;
        impl<T> NoDebug<()> for T {}
        impl<T: std::fmt::Debug> NoDebug<Otherwise> for T {}
        <Password as NoDebug<_>>::holds();
        <Credential as NoDebug<_>>::holds();
        <crate::rotation::Stated as NoDebug<_>>::holds();
    }

    fn parse(text: &str) -> Result<Credential, MalformedSecret> {
        let value = SecretValue {
            arn: "arn:aws:secretsmanager:local:000000000000:secret:a-AbCdEf".into(),
            name: "a".into(),
            version: VersionId::new("v1"),
            stages: vec!["AWSCURRENT".into()],
            created: None,
            value: Zeroizing::new(text.into()),
        };
        Credential::parse(&SecretId::new("a"), &value)
    }

    fn error(text: &str) -> MalformedSecret {
        parse(text).err().expect("malformed")
    }

    #[test]
    fn an_rds_secret() {
        let c = parse(r#"{"engine":"postgres","host":"h","port":5433,"dbname":"d","username":"u","password":"p"}"#).expect("valid");
        assert_eq!(
            (c.host.as_deref(), c.port, c.dbname.as_deref()),
            (Some("h"), Some(5433), Some("d"))
        );
        assert_eq!((c.username.as_str(), c.password.reveal()), ("u", "p"));
    }

    #[test]
    fn a_managed_master_secret_has_only_a_name_and_a_password() {
        let c = parse(r#"{"username":"u","password":"p"}"#).expect("valid");
        assert!(c.host.is_none() && c.port.is_none() && c.dbname.is_none());
    }

    #[test]
    fn the_port_may_be_text() {
        assert_eq!(
            parse(r#"{"username":"u","password":"p","port":"6000"}"#)
                .expect("valid")
                .port,
            Some(6000)
        );
        assert_eq!(
            error(r#"{"username":"u","password":"p","port":0}"#),
            MalformedSecret::Invalid("port")
        );
        assert_eq!(
            error(r#"{"username":"u","password":"p","port":70000}"#),
            MalformedSecret::Invalid("port")
        );
    }

    #[test]
    fn a_field_with_another_name_is_named() {
        for (text, found, meant) in [
            (r#"{"user":"u","password":"hunter2"}"#, "user", "username"),
            (r#"{"username":"u","pwd":"hunter2"}"#, "pwd", "password"),
        ] {
            let said = error(text);
            assert_eq!(said, MalformedSecret::Misnamed { found, meant });
            assert!(!said.to_string().contains("hunter2"));
        }
        let text = r#"{"username":"u","password":"p","database":"d"}"#;
        assert!(parse(text).is_ok(), "the configuration may have it");
        let said = unread_field(text).expect("one").to_string();
        assert_eq!(
            said,
            "the JSON has \"database\", which pgvalet does not read; call it \"dbname\""
        );
        let both = r#"{"username":"u","user":"v","password":"p","dbname":"d","database":"d"}"#;
        assert!(parse(both).is_ok() && unread_field(both).is_none());
    }

    #[test]
    fn what_is_wrong_is_named_and_never_quoted() {
        assert_eq!(error("hunter2"), MalformedSecret::NotJson);
        assert_eq!(error("\"hunter2\""), MalformedSecret::NotJson);
        assert_eq!(
            error(r#"{"username":"u"}"#),
            MalformedSecret::Missing("password")
        );
        assert_eq!(
            error(r#"{"password":"hunter2"}"#),
            MalformedSecret::Missing("username")
        );
        let e = error(r#"{"username":"u","password":{"hunter2":1}}"#);
        assert_eq!(e, MalformedSecret::Invalid("password"));
        assert!(!e.to_string().contains("hunter2"));
        assert_eq!(
            error(r#"{"username":"u\u001b[31m\n","password":"p"}"#),
            MalformedSecret::Invalid("username")
        );
        assert_eq!(
            error(r#"{"username":"u\u0000","password":"p"}"#),
            MalformedSecret::Invalid("username")
        );
        assert_eq!(
            error(r#"{"engine":"mysql","username":"u","password":"p"}"#),
            MalformedSecret::Engine("mysql".into())
        );
    }
}
