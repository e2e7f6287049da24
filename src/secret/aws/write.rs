//! Changing secrets in AWS Secrets Manager.

use std::time::SystemTime;

use zeroize::Zeroizing;

use super::error::{about, refused};
use super::source::time;
use super::{AwsStore, missing};
use crate::secret::{
    AWSCURRENT, Deletion, Manage, NewSecret, Policies, RandomPassword, Rotatable, SecretId,
    StoreFuture, VersionId,
};

impl Rotatable for AwsStore {
    fn put<'a>(
        &'a self,
        id: &'a SecretId,
        value: Zeroizing<String>,
        labels: Vec<String>,
        token: Option<VersionId>,
    ) -> StoreFuture<'a, VersionId> {
        Box::pin(async move {
            let labels = match labels.is_empty() {
                true => vec![AWSCURRENT.to_owned()],
                false => labels,
            };
            let answer = self
                .client
                .put_secret_value()
                .secret_id(id.within())
                .secret_string(value.as_str())
                .set_version_stages(Some(labels))
                .set_client_request_token(token.map(|t| t.to_string()))
                .send()
                .await
                .map_err(|e| about(id, e))?;
            let version = answer.version_id.ok_or_else(|| missing("VersionId"))?;
            Ok(VersionId::new(version))
        })
    }

    fn move_label<'a>(
        &'a self,
        id: &'a SecretId,
        label: &'a str,
        to: Option<VersionId>,
        from: Option<VersionId>,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.client
                .update_secret_version_stage()
                .secret_id(id.within())
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
                password.ok_or_else(|| missing("RandomPassword"))?,
            ))
        })
    }
}

impl Manage for AwsStore {
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
            let version = answer.version_id.ok_or_else(|| missing("VersionId"))?;
            Ok(VersionId::new(version))
        })
    }

    fn delete<'a>(
        &'a self,
        id: &'a SecretId,
        how: Deletion,
    ) -> StoreFuture<'a, Option<SystemTime>> {
        Box::pin(async move {
            let request = self.client.delete_secret().secret_id(id.within());
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
            let request = self.client.restore_secret().secret_id(id.within());
            request.send().await.map_err(|e| about(id, e))?;
            Ok(())
        })
    }
}

impl Policies for AwsStore {
    fn policy<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Option<String>> {
        Box::pin(async move {
            let request = self.client.get_resource_policy().secret_id(id.within());
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
            let request = self.client.put_resource_policy().secret_id(id.within());
            let request = request
                .resource_policy(text)
                .block_public_policy(block_public);
            request.send().await.map_err(|e| about(id, e))?;
            Ok(())
        })
    }

    fn delete_policy<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let request = self.client.delete_resource_policy().secret_id(id.within());
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
                .secret_id(id.within());
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
}
