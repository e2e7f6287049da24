//! RotateSecret, CancelRotateSecret.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::authorize::Asked;
use super::call::{Call, Operation};
use super::secrets::Changed;
use super::shapes::request;
use super::{ApiError, Check};
use crate::secret::{AWSCURRENT, AWSPENDING};
use crate::vault::rotation::{self, Change, Metadata, Rules};
use crate::vault::secrets::Secret;
use crate::vault::tx::Tx;
use crate::vault::{Value, VaultError, versions};

request!(RotateSecret {
    id: String = "SecretId",
    token: String = "ClientRequestToken",
    lambda: String = "RotationLambdaARN",
    rules: Rules = "RotationRules",
    metadata: Vec<Metadata> = "ExternalSecretRotationMetadata",
    role: String = "ExternalSecretRotationRoleArn",
    now: bool = "RotateImmediately",
});

impl Operation for RotateSecret {
    type Answer = Changed;
    const NAME: &'static str = "RotateSecret";
    const WRITES: bool = true;

    fn check(&self, check: &mut Check) {
        check.secret_id(self.id.as_ref());
        check.token(self.token.as_ref());
        check.text("rotationLambdaARN", self.lambda.as_ref(), 0..=2048);
        check.text(
            "externalSecretRotationRoleArn",
            self.role.as_ref(),
            20..=2048,
        );
        let Some(rules) = &self.rules else { return };
        check.number("rotationRules.automaticallyAfterDays", rules.days, 1..=1000);
        let duration = rules.duration.as_ref();
        check.text("rotationRules.duration", duration, 2..=3);
        check.characters("rotationRules.duration", duration, "[0-9]+h", |c| {
            c.is_ascii_digit() || c == 'h'
        });
        let schedule = rules.schedule.as_ref();
        check.text("rotationRules.scheduleExpression", schedule, 1..=256);
        check.characters(
            "rotationRules.scheduleExpression",
            schedule,
            "[0-9A-Za-z\\(\\)#\\?\\*\\-\\/, ]+",
            |c| c.is_ascii_alphanumeric() || "()#?*-/, ".contains(c),
        );
    }

    fn run(self, call: &Call<'_>) -> Result<Changed, ApiError> {
        let id = self.id.unwrap_or_default();
        let asked = Asked::new(Self::NAME)
            .with("secretsmanager:SecretId", Some(&id))
            .with("secretsmanager:RotationLambdaARN", self.lambda.as_ref())
            .with("secretsmanager:RotateImmediately", self.now);
        let secret = call.live(&asked, &id)?;
        let Some(token) = self.token else {
            return Err(VaultError::InvalidParameter(
                "You must provide a ClientRequestToken value. We recommend a UUID-type value."
                    .into(),
            )
            .into());
        };
        if let Some(rules) = &self.rules {
            rules.schedule()?;
        }
        // The value names the administrator, and its writers choose the value. So
        // the right to rotate one secret must not be enough to use another.
        for admin in administrators(call.tx, &secret)? {
            call.may_use(&admin)?;
        }
        call.about(&secret);
        let saved = secret.rotation.as_ref();
        let lambda = self.lambda.filter(|l| !l.is_empty());
        let ruled = self.rules.is_some() || saved.is_some_and(|r| r.rules.is_some());
        let called = lambda.is_some() || saved.is_some_and(|r| r.lambda.is_some());
        if !ruled && !called && !call.rotated.has(&secret.name, &secret.arn) {
            return Err(VaultError::InvalidRequest(
                "Nobody rotates this secret: no Lambda rotation function ARN is associated with \
                 it, and no proxy of this store uses it. Give RotationRules, for a proxy elsewhere \
                 to follow, or RotationLambdaARN."
                    .into(),
            )
            .into());
        }
        let change = Change {
            lambda,
            rules: self.rules,
            metadata: self.metadata,
            role: self.role,
        };
        let now = self.now.unwrap_or(true);
        let version = rotation::rotate(call.tx, &secret, change, now, &token)?;
        call.about_version(&version);
        Ok(Changed {
            arn: secret.arn,
            name: secret.name,
            version: now.then(|| version.to_string()),
        })
    }
}

/// Whether the caller may store a value. If it names an administrator, the caller
/// must have the right to read that secret: a rotation uses it later, when nobody
/// can tell any more who wrote the value.
pub(super) fn may_write(call: &Call<'_>, value: Option<&Value>) -> Result<(), ApiError> {
    match value {
        Some(Value::Text(text)) => match masterarn(text) {
            Some(admin) => call.may_use(&admin),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// The administrators that the values of AWSCURRENT and AWSPENDING name.
fn administrators(tx: &Tx<'_>, secret: &Secret) -> Result<Vec<String>, VaultError> {
    let mut named = Vec::new();
    for label in [AWSCURRENT, AWSPENDING] {
        match versions::get(tx, secret, None, Some(label)) {
            Ok(version) => {
                if let Value::Text(text) = &version.value {
                    named.extend(masterarn(text));
                }
            }
            Err(VaultError::ResourceNotFound(_)) => {}
            Err(e) => return Err(e),
        }
    }
    named.dedup();
    Ok(named)
}

/// The administrator that a value names, read as the rotation reads it: the last of
/// several keys counts. Nothing else of the value is copied.
pub(super) fn masterarn(text: &str) -> Option<String> {
    struct Last;
    impl<'de> Visitor<'de> for Last {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(key) = map.next_key::<Cow<'_, str>>()? {
                if key == "masterarn" {
                    let value: serde_json::Value = map.next_value()?;
                    found = value.as_str().map(str::to_owned);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let found = json.deserialize_map(Last).ok().flatten();
    found.filter(|id| !id.is_empty())
}

request!(CancelRotateSecret {
    id: String = "SecretId",
});

impl Operation for CancelRotateSecret {
    type Answer = Changed;
    const NAME: &'static str = "CancelRotateSecret";
    const WRITES: bool = true;

    fn check(&self, check: &mut Check) {
        check.secret_id(self.id.as_ref());
    }

    fn run(self, call: &Call<'_>) -> Result<Changed, ApiError> {
        let id = self.id.unwrap_or_default();
        let asked = Asked::new(Self::NAME).with("secretsmanager:SecretId", Some(&id));
        let secret = call.live(&asked, &id)?;
        let version = rotation::cancel(call.tx, &secret)?;
        Ok(Changed {
            arn: secret.arn,
            name: secret.name,
            version: version.map(|v| v.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_administrator_is_found_as_the_rotation_finds_it() {
        for (text, named) in [
            (r#"{"masterarn":"a"}"#, Some("a")),
            (r#"{"masterarn":"a","masterarn":"b"}"#, Some("b")),
            (
                r#"{"masterarn":[],"x":{"masterarn":"c"},"masterarn":"b"}"#,
                Some("b"),
            ),
            (r#"{"master\u0061rn":"a"}"#, Some("a")),
            (r#" {"masterarn":"b","masterarn":null} "#, None),
            (r#"{"masterarn":""}"#, None),
            (r#"{"x":{"masterarn":"a"}}"#, None),
            (r#"["masterarn","a"]"#, None),
            ("masterarn", None),
            ("", None),
        ] {
            assert_eq!(masterarn(text).as_deref(), named, "{text}");
            // The other reader of the same text.
            let other = serde_json::from_str::<serde_json::Value>(text).ok();
            let other =
                other.and_then(|v| Some(v.as_object()?.get("masterarn")?.as_str()?.to_owned()));
            assert_eq!(other.filter(|n| !n.is_empty()).as_deref(), named, "{text}");
        }
    }
}
