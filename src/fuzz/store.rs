//! Secrets, and the API of the store.

use serde_json::json;
use zeroize::Zeroizing;

use crate::secret::{Credential, SecretId, SecretValue, UpstreamAuth, VersionId};
pub use crate::vault::api::fuzz::{call, request};

/// The value of a secret: what is wrong with it is said without quoting the
/// password, and a credential printed as JSON is the same credential.
pub fn secret(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let c = match read(text) {
        Ok(credential) => credential,
        Err(error) => {
            let json: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
            let (password, engine) = (json["password"].as_str(), json["engine"].as_str());
            if let Some(password) = password.filter(|p| p.len() > 12) {
                let quoted = error.to_string().contains(password);
                assert!(!quoted || engine.is_some_and(|e| e.contains(password)));
            }
            return;
        }
    };
    assert!(!c.username.is_empty() && !c.username.contains('\0'));
    assert!(!c.password.reveal().contains('\0') && c.port != Some(0));
    let rds = c.auth == UpstreamAuth::RdsIam;
    let password = c.password.reveal();
    let printed = json!({
        "host": c.host, "port": c.port, "dbname": c.dbname, "username": c.username,
        "password": (!password.is_empty()).then_some(password),
        "auth": rds.then_some("rds-iam"),
    });
    let again = read(&printed.to_string()).expect("the same");
    assert_eq!((&again.host, again.port), (&c.host, c.port));
    assert_eq!((&again.dbname, &again.username), (&c.dbname, &c.username));
    assert!(again.password.reveal() == password && again.auth == c.auth);
}

fn read(text: &str) -> Result<Credential, crate::secret::MalformedSecret> {
    let value = SecretValue {
        arn: "arn:aws:secretsmanager:local:000000000000:secret:a-AbCdEf".into(),
        name: "a".into(),
        version: VersionId::new("v1"),
        stages: Vec::new(),
        created: None,
        value: Zeroizing::new(text.into()),
    };
    Credential::parse(&SecretId::new("a"), &value)
}
