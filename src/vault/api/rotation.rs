//! RotateSecret, CancelRotateSecret.

use serde::Deserialize;

use super::authorize::Asked;
use super::call::{Call, Operation};
use super::secrets::Changed;
use super::shapes::request;
use super::{ApiError, Check};
use crate::vault::VaultError;
use crate::vault::rotation::{self, Change, Metadata, Rules};

request!(RotateSecret {
    id: String = "SecretId",
    token: String = "ClientRequestToken",
    lambda: String = "RotationLambdaARN",
    rules: Rules = "RotationRules",
    metadata: Vec<MetadataShape> = "ExternalSecretRotationMetadata",
    role: String = "ExternalSecretRotationRoleArn",
    now: bool = "RotateImmediately",
});

#[derive(Deserialize)]
pub struct MetadataShape {
    #[serde(rename = "Key", default)]
    key: String,
    #[serde(rename = "Value", default)]
    value: String,
}

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
        let metadata = self.metadata.map(|list| {
            list.into_iter()
                .map(|item| Metadata {
                    key: item.key,
                    value: item.value,
                })
                .collect()
        });
        let change = Change {
            lambda: self.lambda.filter(|l| !l.is_empty()),
            rules: self.rules,
            metadata,
            role: self.role,
        };
        let now = self.now.unwrap_or(true);
        let version = rotation::rotate(call.tx, &secret, change, now, &token)?;
        call.about_version(&version);
        Ok(Changed {
            arn: Some(secret.arn),
            name: Some(secret.name),
            version: now.then(|| version.to_string()),
        })
    }
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
            arn: Some(secret.arn),
            name: Some(secret.name),
            version: version.map(|v| v.to_string()),
        })
    }
}
