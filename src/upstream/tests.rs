//! What the tests of this part log in with, and where.

use super::Target;
use crate::secret::{Credential, Password, SecretId, UpstreamAuth, VersionId};

pub fn target(port: u16) -> Target {
    Target {
        database: "d".into(),
        host: "127.0.0.1".into(),
        port,
        dbname: "d".into(),
        tls: None,
        tcp: Default::default(),
        allow_md5: false,
        allow_cleartext: false,
        verified: false,
        by_certificate: false,
        require_channel_binding: false,
        scram_iterations: 4096..=100_000,
        auth: UpstreamAuth::Password,
        attrs: Default::default(),
        places: Vec::new(),
        shortcut: None,
    }
}

pub fn credential() -> Credential {
    Credential {
        secret: SecretId::new("s"),
        arn: "arn:s".into(),
        version: VersionId::new("v"),
        stages: Vec::new(),
        host: None,
        port: None,
        dbname: None,
        username: "app".into(),
        password: Password::new("p".into()),
        auth: UpstreamAuth::Password,
        fetched_at: std::time::SystemTime::now(),
    }
}
