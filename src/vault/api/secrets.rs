//! CreateSecret, UpdateSecret.

use serde::Serialize;

use super::authorize::Asked;
use super::call::{Call, Operation};
use super::shapes::{self, SecretBytes, SecretText, TagShape, answer, request};
use super::{ApiError, Check};
use crate::vault::secrets::{self, New, Secret, Update};

/// The answer of many operations: which secret it was.
#[derive(Serialize)]
pub struct Named {
    #[serde(rename = "ARN")]
    pub arn: String,
    #[serde(rename = "Name")]
    pub name: String,
}

impl From<Secret> for Named {
    fn from(secret: Secret) -> Self {
        Self {
            arn: secret.arn,
            name: secret.name,
        }
    }
}

request!(CreateSecret {
    name: String = "Name",
    token: String = "ClientRequestToken",
    description: String = "Description",
    kms_key: String = "KmsKeyId",
    binary: SecretBytes = "SecretBinary",
    text: SecretText = "SecretString",
    tags: Vec<TagShape> = "Tags",
    replicas: Vec<serde_json::Value> = "AddReplicaRegions",
    kind: String = "Type",
    primary: String = "CrossAccountPrimaryARN",
});

answer!(Changed {
    arn: String = "ARN",
    name: String = "Name";
    version: String = "VersionId",
});

impl Operation for CreateSecret {
    type Answer = Changed;
    const NAME: &'static str = "CreateSecret";
    const WRITES: bool = true;

    fn check(&self, check: &mut Check) {
        check.required("name", self.name.as_ref());
        check.text("name", self.name.as_ref(), 1..=512);
        check.token(self.token.as_ref());
        check.text("description", self.description.as_ref(), 0..=2048);
        check.text("kmsKeyId", self.kms_key.as_ref(), 0..=2048);
        check.text("type", self.kind.as_ref(), 0..=256);
        shapes::check_value(check, self.text.as_ref(), self.binary.as_ref());
        shapes::check_tags(check, self.tags.as_ref());
    }

    fn run(self, call: &Call<'_>) -> Result<Changed, ApiError> {
        let name = self.name.unwrap_or_default();
        let tags = shapes::tags(self.tags);
        let mut asked = Asked::new(Self::NAME)
            .with("secretsmanager:Name", Some(&name))
            .with("secretsmanager:Description", self.description.as_ref())
            .with("secretsmanager:KmsKeyId", self.kms_key.as_ref())
            .with_list("aws:TagKeys", tags.iter().map(|t| t.key.clone()));
        for tag in &tags {
            asked = asked.with(&format!("aws:RequestTag/{}", tag.key), Some(&tag.value));
        }
        call.allow_new(&asked, &name)?;
        if !tags.is_empty() {
            call.allow_new(&asked.also("TagResource"), &name)?;
        }
        if self.replicas.is_some_and(|r| !r.is_empty()) || self.primary.is_some() {
            return Err(super::replication::not_here());
        }
        let value = shapes::value(self.text, self.binary)?;
        if value.is_some() {
            shapes::needs_token(self.token.as_ref())?;
        }
        super::rotation::may_write(call, value.as_ref())?;
        let (secret, version) = secrets::create(
            call.tx,
            &New {
                name: &name,
                description: self.description.as_deref().filter(|d| !d.is_empty()),
                kms_key: self.kms_key.as_deref().filter(|k| !k.is_empty()),
                kind: self.kind.as_deref().filter(|k| !k.is_empty()),
                tags: &tags,
                value: value.as_ref(),
                token: self.token.as_deref(),
            },
        )?;
        call.about(&secret);
        if let Some(version) = &version {
            call.about_version(version);
        }
        Ok(Changed {
            arn: secret.arn,
            name: secret.name,
            version: version.map(|v| v.to_string()),
        })
    }
}

request!(UpdateSecret {
    id: String = "SecretId",
    token: String = "ClientRequestToken",
    description: String = "Description",
    kms_key: String = "KmsKeyId",
    binary: SecretBytes = "SecretBinary",
    text: SecretText = "SecretString",
    kind: String = "Type",
});

impl Operation for UpdateSecret {
    type Answer = Changed;
    const NAME: &'static str = "UpdateSecret";
    const WRITES: bool = true;

    fn check(&self, check: &mut Check) {
        check.secret_id(self.id.as_ref());
        check.token(self.token.as_ref());
        check.text("description", self.description.as_ref(), 0..=2048);
        check.text("kmsKeyId", self.kms_key.as_ref(), 0..=2048);
        check.text("type", self.kind.as_ref(), 0..=256);
        shapes::check_value(check, self.text.as_ref(), self.binary.as_ref());
    }

    fn run(self, call: &Call<'_>) -> Result<Changed, ApiError> {
        let id = self.id.unwrap_or_default();
        let asked = Asked::new(Self::NAME)
            .with("secretsmanager:SecretId", Some(&id))
            .with("secretsmanager:Description", self.description.as_ref())
            .with("secretsmanager:KmsKeyId", self.kms_key.as_ref());
        let secret = call.live(&asked, &id)?;
        let value = shapes::value(self.text, self.binary)?;
        if value.is_some() {
            shapes::needs_token(self.token.as_ref())?;
        }
        super::rotation::may_write(call, value.as_ref())?;
        let version = secrets::update(
            call.tx,
            &secret,
            &Update {
                description: self.description.as_deref(),
                kms_key: self.kms_key.as_deref(),
                kind: self.kind.as_deref(),
                value: value.as_ref(),
                token: self.token.as_deref(),
            },
        )?;
        if let Some(version) = &version {
            call.about_version(version);
        }
        Ok(Changed {
            arn: secret.arn,
            name: secret.name,
            version: version.map(|v| v.to_string()),
        })
    }
}
