//! AWS Secrets Manager, or what speaks like it: at another endpoint, or in
//! this process (`embedded`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::Builder;
use aws_sdk_secretsmanager::primitives::DateTime;
use aws_sdk_secretsmanager::types::SecretListEntry;
use axum::http::Uri;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::aws_error::{about, refused};
use super::roll::Roll;
use super::{
    AWSCURRENT, CurrentFuture, Deletion, Description, NewSecret, RandomPassword, RotationRules,
    SecretId, SecretStore, SecretValue, StoreError, StoreFuture, VersionId, Which,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A store that takes five seconds is slow, and still worth waiting for.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// All attempts (the SDK's default is three) and the pauses between them.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(40);

pub struct AwsStore {
    client: Client,
    /// Where whoever answers can tell of changes.
    changes: Option<watch::Receiver<u64>>,
    roll: Roll,
}

impl AwsStore {
    /// With a client of the SDK that is ready, and perhaps a counter of changes.
    pub(crate) fn new(client: Client, changes: Option<watch::Receiver<u64>>) -> Self {
        let roll = Roll::new(client.clone(), Duration::ZERO);
        Self {
            client,
            changes,
            roll,
        }
    }

    /// Looks that can wait do so for this long, to be asked with others.
    pub fn asking_together_within(mut self, window: Duration) -> Self {
        self.roll = Roll::new(self.client.clone(), window);
        self
    }

    /// Region, endpoint and profile as given, else as the AWS SDK finds them
    /// in the environment and in `~/.aws`. Does not ask the store anything.
    pub async fn connect(
        region: Option<&str>,
        endpoint_url: Option<&str>,
        profile: Option<&str>,
    ) -> Result<Self, StoreError> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        if let Some(url) = endpoint_url {
            loader = loader.endpoint_url(url);
        }
        if let Some(profile) = profile {
            loader = loader.profile_name(profile);
        }
        Self::from_config(&loader.load().await)
    }

    /// With a configuration of the SDK. Timeouts that it does not set are set here.
    pub fn from_config(config: &SdkConfig) -> Result<Self, StoreError> {
        if config.region().is_none() {
            return Err(StoreError::InvalidParameter(
                "no AWS region is configured; set [store] region or AWS_REGION".into(),
            ));
        }
        if let Some(url) = config.endpoint_url()
            && !is_http_url(url)
        {
            return Err(StoreError::InvalidParameter(format!(
                "the store's endpoint_url {url:?} is no URL; write it as https://host:port"
            )));
        }
        let ours = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let timeouts = match config.timeout_config() {
            Some(theirs) => {
                let mut timeouts = theirs.clone();
                timeouts.take_defaults_from(&ours);
                timeouts
            }
            None => ours,
        };
        let config = Builder::from(config).timeout_config(timeouts).build();
        Ok(Self::new(Client::from_conf(config), None))
    }
}

fn is_http_url(url: &str) -> bool {
    url.parse::<Uri>()
        .is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
}

fn time(at: Option<&DateTime>) -> Option<SystemTime> {
    SystemTime::try_from(*at?).ok()
}

fn no_answer(what: &str) -> StoreError {
    StoreError::Internal(format!(
        "the store's answer has no {what}; check that [store] endpoint_url is Secrets Manager"
    ))
}

/// The ARN of an answer, if it is that of the secret that was asked for: what
/// speaks like Secrets Manager may take the ARN of a deleted one for a name.
fn of(id: &SecretId, arn: Option<String>) -> Result<Arc<str>, StoreError> {
    let arn = arn.ok_or_else(|| no_answer("ARN"))?;
    match id.admits(&arn) {
        true => Ok(arn.into()),
        false => Err(StoreError::NotFound(format!(
            "{id}: there is no such secret; the store has another of that name, {arn}"
        ))),
    }
}

impl SecretStore for AwsStore {
    fn get<'a>(&'a self, id: &'a SecretId, which: &'a Which) -> StoreFuture<'a, SecretValue> {
        Box::pin(async move {
            // Always with one of both: servers differ in what neither means.
            let request = self.client.get_secret_value().secret_id(id.as_str());
            let request = match which {
                Which::Stage(stage) => request.version_stage(stage),
                Which::Version(version) => request.version_id(version.as_str()),
            };
            let mut answer = request.send().await.map_err(|e| about(id, e))?;
            let value = match (answer.secret_string.take(), &answer.secret_binary) {
                (Some(text), _) => Zeroizing::new(text),
                (None, Some(_)) => return Err(StoreError::binary(id)),
                // A version that a rotation reserved and did not fill yet.
                (None, None) => {
                    return Err(StoreError::NotFound(format!(
                        "{id}: the version has no value yet"
                    )));
                }
            };
            Ok(SecretValue {
                arn: of(id, answer.arn)?,
                name: answer.name.ok_or_else(|| no_answer("Name"))?.into(),
                version: VersionId::new(answer.version_id.ok_or_else(|| no_answer("VersionId"))?),
                stages: answer.version_stages.unwrap_or_default(),
                created: time(answer.created_date.as_ref()),
                value,
            })
        })
    }

    fn describe<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Description> {
        Box::pin(async move {
            let request = self.client.describe_secret().secret_id(id.as_str());
            let answer = request.send().await.map_err(|e| about(id, e))?;
            let rules = answer.rotation_rules();
            let enabled = answer.rotation_enabled() == Some(true);
            // A service that owns a secret lets nobody else change it.
            let function = answer.rotation_lambda_arn().filter(|_| enabled);
            let rotation = RotationRules {
                enabled,
                by: answer
                    .owning_service()
                    .or(function)
                    .filter(|by| !by.is_empty())
                    .map(str::to_owned),
                after_days: rules
                    .and_then(|r| r.automatically_after_days())
                    .and_then(|days| u64::try_from(days).ok()),
                expression: rules.and_then(|r| r.schedule_expression().map(str::to_owned)),
                duration: rules.and_then(|r| r.duration().map(str::to_owned)),
                last_rotated: time(answer.last_rotated_date()),
            };
            Ok(Description {
                rotation: Some(Box::new(rotation)),
                created: time(answer.created_date()),
                last_changed: time(answer.last_changed_date()),
                deleted: time(answer.deleted_date()),
                arn: of(id, answer.arn)?,
                name: answer.name.ok_or_else(|| no_answer("Name"))?.into(),
                description: answer.description.filter(|d| !d.is_empty()),
                versions: versions(answer.version_ids_to_stages),
            })
        })
    }

    fn current<'a>(&'a self, id: &'a SecretId) -> CurrentFuture<'a> {
        Box::pin(self.roll.current(id))
    }

    fn versions<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Vec<VersionId>> {
        Box::pin(async move {
            let request = self.client.list_secret_version_ids();
            let request = request.secret_id(id.as_str()).include_deprecated(true);
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

    fn create(&self, secret: NewSecret) -> StoreFuture<'_, VersionId> {
        Box::pin(async move {
            let answer = self
                .client
                .create_secret()
                .name(&secret.name)
                .set_description(secret.description)
                .secret_string(secret.value.as_str())
                .set_client_request_token(secret.token.map(|t| t.to_string()))
                .send()
                .await
                .map_err(|e| about(&SecretId::new(secret.name), e))?;
            let version = answer.version_id.ok_or_else(|| no_answer("VersionId"))?;
            Ok(VersionId::new(version))
        })
    }

    fn put<'a>(
        &'a self,
        id: &'a SecretId,
        value: Zeroizing<String>,
        stages: Vec<String>,
        token: Option<VersionId>,
    ) -> StoreFuture<'a, VersionId> {
        Box::pin(async move {
            let stages = match stages.is_empty() {
                true => vec![AWSCURRENT.to_owned()],
                false => stages,
            };
            let answer = self
                .client
                .put_secret_value()
                .secret_id(id.as_str())
                .secret_string(value.as_str())
                .set_version_stages(Some(stages))
                .set_client_request_token(token.map(|t| t.to_string()))
                .send()
                .await
                .map_err(|e| about(id, e))?;
            let version = answer.version_id.ok_or_else(|| no_answer("VersionId"))?;
            Ok(VersionId::new(version))
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

    fn move_stage<'a>(
        &'a self,
        id: &'a SecretId,
        label: &'a str,
        to: Option<VersionId>,
        from: Option<VersionId>,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.client
                .update_secret_version_stage()
                .secret_id(id.as_str())
                .version_stage(label)
                .set_move_to_version_id(to.map(|v| v.to_string()))
                .set_remove_from_version_id(from.map(|v| v.to_string()))
                .send()
                .await
                .map_err(|e| about(id, e))?;
            Ok(())
        })
    }

    fn random_password(&self, options: RandomPassword) -> StoreFuture<'_, Zeroizing<String>> {
        Box::pin(async move {
            let excluded = Some(options.exclude_characters).filter(|e| !e.is_empty());
            let answer = self
                .client
                .get_random_password()
                .password_length(i64::from(options.length))
                .set_exclude_characters(excluded)
                .exclude_numbers(options.exclude_numbers)
                .exclude_punctuation(options.exclude_punctuation)
                .exclude_uppercase(options.exclude_uppercase)
                .exclude_lowercase(options.exclude_lowercase)
                .include_space(options.include_space)
                .require_each_included_type(options.require_each_included_type)
                .send()
                .await
                .map_err(|e| refused("", e))?;
            let password = answer.random_password;
            Ok(Zeroizing::new(
                password.ok_or_else(|| no_answer("RandomPassword"))?,
            ))
        })
    }

    fn delete<'a>(
        &'a self,
        id: &'a SecretId,
        how: Deletion,
    ) -> StoreFuture<'a, Option<SystemTime>> {
        Box::pin(async move {
            let request = self.client.delete_secret().secret_id(id.as_str());
            let request = match how {
                Deletion::Window { days } => request.recovery_window_in_days(i64::from(days)),
                Deletion::Now => request.force_delete_without_recovery(true),
            };
            let answer = request.send().await.map_err(|e| about(id, e))?;
            Ok(time(answer.deletion_date()))
        })
    }

    fn restore<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let request = self.client.restore_secret().secret_id(id.as_str());
            request.send().await.map_err(|e| about(id, e))?;
            Ok(())
        })
    }

    fn policy<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Option<String>> {
        Box::pin(async move {
            let request = self.client.get_resource_policy().secret_id(id.as_str());
            let answer = request.send().await.map_err(|e| about(id, e))?;
            Ok(answer.resource_policy)
        })
    }

    fn put_policy<'a>(
        &'a self,
        id: &'a SecretId,
        text: String,
        block_public: bool,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let request = self.client.put_resource_policy().secret_id(id.as_str());
            let request = request
                .resource_policy(text)
                .block_public_policy(block_public);
            request.send().await.map_err(|e| about(id, e))?;
            Ok(())
        })
    }

    fn delete_policy<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let request = self.client.delete_resource_policy().secret_id(id.as_str());
            request.send().await.map_err(|e| about(id, e))?;
            Ok(())
        })
    }

    fn validate_policy<'a>(
        &'a self,
        id: &'a SecretId,
        text: String,
    ) -> StoreFuture<'a, Vec<(String, String)>> {
        Box::pin(async move {
            let request = self
                .client
                .validate_resource_policy()
                .secret_id(id.as_str());
            let answer = request.resource_policy(text).send().await;
            let answer = answer.map_err(|e| about(id, e))?;
            let errors = answer.validation_errors.unwrap_or_default().into_iter();
            let mut findings: Vec<(String, String)> = errors
                .map(|e| {
                    let check = e.check_name.unwrap_or_default();
                    (check, e.error_message.unwrap_or_default())
                })
                .collect();
            if !answer.policy_validation_passed && findings.is_empty() {
                findings.push(("PolicyValidationPassed".into(), "false".into()));
            }
            Ok(findings)
        })
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        self.changes.clone()
    }
}

fn listed(entry: SecretListEntry) -> Result<Description, StoreError> {
    Ok(Description {
        rotation: None,
        created: time(entry.created_date()),
        last_changed: time(entry.last_changed_date()),
        deleted: time(entry.deleted_date()),
        arn: entry.arn.ok_or_else(|| no_answer("ARN"))?.into(),
        name: entry.name.ok_or_else(|| no_answer("Name"))?.into(),
        description: entry.description.filter(|d| !d.is_empty()),
        versions: versions(entry.secret_versions_to_stages),
    })
}

/// Versions with their labels; servers may list ones that have none.
fn versions(map: Option<HashMap<String, Vec<String>>>) -> BTreeMap<VersionId, Vec<String>> {
    map.unwrap_or_default()
        .into_iter()
        .filter(|(_, labels)| !labels.is_empty())
        .map(|(version, labels)| (VersionId::new(version), labels))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Servers that speak like Secrets Manager take ARNs for names.
    #[test]
    fn an_answer_about_another_secret_is_none() {
        let arn = |end: &str| format!("arn:aws:secretsmanager:r:1:secret:db{end}");
        for (id, answer, right) in [
            (arn("-AbCdEf"), arn("-AbCdEf"), true),
            (arn("-AbCdEf"), arn("-ZyXwVu"), false),
            (arn("-AbCdEf"), arn("-AbCdEf-ZyXwVu"), false),
            (arn(""), arn("-ZyXwVu"), true),
            ("db".to_owned(), arn("-ZyXwVu"), true),
        ] {
            let told = of(&SecretId::new(id.as_str()), Some(answer.clone()));
            assert_eq!(told.is_ok(), right, "{id}: {answer}");
            assert!(right || matches!(told, Err(StoreError::NotFound(_))));
        }
        assert!(of(&SecretId::new("db"), None).is_err());
    }
}
