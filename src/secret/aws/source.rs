//! Reading secrets from AWS Secrets Manager.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use aws_sdk_secretsmanager::primitives::DateTime;
use aws_sdk_secretsmanager::types::SecretListEntry;
use zeroize::Zeroizing;

use super::error::{about, refused};
use super::{AwsStore, missing};
use crate::secret::store::Labels;
use crate::secret::{
    CurrentFuture, Description, RotationRules, SecretId, SecretValue, Source, StoreError,
    StoreFuture, VersionId, Which,
};

impl Source for AwsStore {
    fn get<'a>(&'a self, id: &'a SecretId, which: &'a Which) -> StoreFuture<'a, SecretValue> {
        Box::pin(async move {
            // Always with a stage or a version: servers differ in what a request
            // with neither means.
            let request = self.client.get_secret_value().secret_id(id.within());
            let request = match which {
                Which::Stage(stage) => request.version_stage(stage),
                Which::Version(version) => request.version_id(version.as_str()),
            };
            let mut answer = request.send().await.map_err(|e| about(id, e))?;
            let value = match (answer.secret_string.take(), &answer.secret_binary) {
                (Some(text), _) => Zeroizing::new(text),
                (None, Some(_)) => return Err(StoreError::binary(id)),
                // A rotation has reserved this version and not filled it yet.
                (None, None) => {
                    return Err(StoreError::NotFound(format!(
                        "{id}: the version has no value yet"
                    )));
                }
            };
            Ok(SecretValue {
                arn: arn_for(id, answer.arn)?,
                name: answer.name.ok_or_else(|| missing("Name"))?.into(),
                version: VersionId::new(answer.version_id.ok_or_else(|| missing("VersionId"))?),
                stages: answer.version_stages.unwrap_or_default(),
                created: time(answer.created_date.as_ref()),
                value,
            })
        })
    }

    fn describe<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Description> {
        Box::pin(async move {
            let request = self.client.describe_secret().secret_id(id.within());
            let answer = request.send().await.map_err(|e| about(id, e))?;
            Ok(Description {
                rotation: Some(Box::new(rotation(&answer))),
                created: time(answer.created_date()),
                last_changed: time(answer.last_changed_date()),
                deleted: time(answer.deleted_date()),
                arn: arn_for(id, answer.arn)?,
                name: answer.name.ok_or_else(|| missing("Name"))?.into(),
                description: answer.description.filter(|d| !d.is_empty()),
                versions: labels(answer.version_ids_to_stages),
            })
        })
    }

    fn list(&self) -> StoreFuture<'_, Vec<Description>> {
        Box::pin(async move {
            let mut pages = self.client.list_secrets().into_paginator().send();
            let mut secrets = Vec::new();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|e| refused("", e))?;
                for entry in page.secret_list.unwrap_or_default() {
                    secrets.push(listed(entry)?);
                }
            }
            secrets.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(secrets)
        })
    }

    fn current<'a>(&'a self, id: &'a SecretId) -> CurrentFuture<'a> {
        Box::pin(self.batches.current(id))
    }

    fn versions<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Vec<VersionId>> {
        Box::pin(async move {
            let request = self.client.list_secret_version_ids();
            let request = request.secret_id(id.within()).include_deprecated(true);
            let mut pages = request.into_paginator().send();
            let mut versions = Vec::new();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|e| about(id, e))?;
                for entry in page.versions.unwrap_or_default() {
                    let created = time(entry.created_date());
                    versions.extend(entry.version_id.map(|v| (created, VersionId::new(v))));
                }
            }
            versions.sort_by_key(|(created, _)| std::cmp::Reverse(*created));
            Ok(versions.into_iter().map(|(_, version)| version).collect())
        })
    }
}

fn rotation(answer: &DescribeSecretOutput) -> RotationRules {
    let rules = answer.rotation_rules();
    let enabled = answer.rotation_enabled() == Some(true);
    // A service that owns a secret lets nobody else change it.
    let function = answer.rotation_lambda_arn().filter(|_| enabled);
    let by = answer.owning_service().or(function);
    RotationRules {
        enabled,
        by: by.filter(|by| !by.is_empty()).map(str::to_owned),
        after_days: rules
            .and_then(|r| r.automatically_after_days())
            .and_then(|days| u64::try_from(days).ok()),
        expression: rules.and_then(|r| r.schedule_expression().map(str::to_owned)),
        duration: rules.and_then(|r| r.duration().map(str::to_owned)),
        last_rotated: time(answer.last_rotated_date()),
    }
}

fn listed(entry: SecretListEntry) -> Result<Description, StoreError> {
    Ok(Description {
        rotation: None,
        created: time(entry.created_date()),
        last_changed: time(entry.last_changed_date()),
        deleted: time(entry.deleted_date()),
        arn: entry.arn.ok_or_else(|| missing("ARN"))?.into(),
        name: entry.name.ok_or_else(|| missing("Name"))?.into(),
        description: entry.description.filter(|d| !d.is_empty()),
        versions: labels(entry.secret_versions_to_stages),
    })
}

/// Drops versions without labels, which some servers list.
fn labels(map: Option<HashMap<String, Vec<String>>>) -> Labels {
    map.unwrap_or_default()
        .into_iter()
        .filter(|(_, labels)| !labels.is_empty())
        .map(|(version, labels)| (VersionId::new(version), labels))
        .collect()
}

pub(super) fn time(at: Option<&DateTime>) -> Option<SystemTime> {
    SystemTime::try_from(*at?).ok()
}

/// Checks that an answer is about the secret that was asked for, and returns
/// its ARN. A server that imitates Secrets Manager may take the ARN of a
/// deleted secret for a name.
fn arn_for(id: &SecretId, arn: Option<String>) -> Result<Arc<str>, StoreError> {
    let arn = arn.ok_or_else(|| missing("ARN"))?;
    match id.admits(&arn) {
        true => Ok(arn.into()),
        false => Err(StoreError::NotFound(format!(
            "{id}: there is no such secret; the store has another of that name, {arn}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Servers that imitate Secrets Manager take ARNs for names.
    #[test]
    fn an_answer_about_another_secret_is_refused() {
        let arn = |end: &str| format!("arn:aws:secretsmanager:r:1:secret:db{end}");
        for (id, answer, right) in [
            (arn("-AbCdEf"), arn("-AbCdEf"), true),
            (arn("-AbCdEf"), arn("-ZyXwVu"), false),
            (arn("-AbCdEf"), arn("-AbCdEf-ZyXwVu"), false),
            (arn(""), arn("-ZyXwVu"), true),
            ("db".to_owned(), arn("-ZyXwVu"), true),
        ] {
            let told = arn_for(&SecretId::new(id.as_str()), Some(answer.clone()));
            assert_eq!(told.is_ok(), right, "{id}: {answer}");
            assert!(right || matches!(told, Err(StoreError::NotFound(_))));
        }
        assert!(arn_for(&SecretId::new("db"), None).is_err());
    }
}
