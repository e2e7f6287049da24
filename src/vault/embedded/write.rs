//! Changing secrets in the embedded store.

use std::time::SystemTime;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::EmbeddedStore;
use super::source::time;
use crate::secret::{
    Deletion, Manage, NewSecret, Policies, RandomPassword, Rotatable, SecretId, StoreError,
    StoreFuture, VersionId,
};
use crate::vault::api::delete::{DeleteSecret, RestoreSecret};
use crate::vault::api::policies::{
    DeleteResourcePolicy, GetResourcePolicy, PutResourcePolicy, ValidateResourcePolicy,
};
use crate::vault::api::random::GetRandomPassword;
use crate::vault::api::secrets::CreateSecret;
use crate::vault::api::shapes::SecretText;
use crate::vault::api::values::PutSecretValue;
use crate::vault::api::versions::UpdateSecretVersionStage;

/// The ClientRequestToken of a request, which SDKs make up as well.
fn token(given: Option<VersionId>) -> String {
    given.map_or_else(|| Uuid::new_v4().to_string(), |token| token.to_string())
}

impl Rotatable for EmbeddedStore {
    fn put<'a>(
        &'a self,
        id: &'a SecretId,
        value: Zeroizing<String>,
        labels: Vec<String>,
        token: Option<VersionId>,
    ) -> StoreFuture<'a, VersionId> {
        Box::pin(async move {
            let request = PutSecretValue {
                id: Some(id.within().to_owned()),
                token: Some(self::token(token)),
                text: Some(SecretText(value)),
                stages: Some(labels).filter(|l| !l.is_empty()),
                ..PutSecretValue::default()
            };
            let answer = self.call(Some(id), request).await?;
            Ok(VersionId::new(answer.version))
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
            let request = UpdateSecretVersionStage {
                id: Some(id.within().to_owned()),
                stage: Some(label.to_owned()),
                from: from.map(|v| v.to_string()),
                to: to.map(|v| v.to_string()),
            };
            self.call(Some(id), request).await.map(|_| ())
        })
    }

    fn random_password(&self, options: RandomPassword) -> StoreFuture<'_, Zeroizing<String>> {
        Box::pin(async move {
            let request = GetRandomPassword {
                length: Some(i64::from(options.length)),
                exclude_characters: Some(options.exclude_characters).filter(|e| !e.is_empty()),
                exclude_numbers: Some(options.exclude_numbers),
                exclude_punctuation: Some(options.exclude_punctuation),
                exclude_uppercase: Some(options.exclude_uppercase),
                exclude_lowercase: Some(options.exclude_lowercase),
                include_space: Some(options.include_space),
                require_each_included_type: Some(options.require_each_included_type),
            };
            Ok(self.call(None, request).await?.password.0)
        })
    }
}

impl Manage for EmbeddedStore {
    fn create(&self, secret: NewSecret) -> StoreFuture<'_, VersionId> {
        Box::pin(async move {
            let id = SecretId::new(secret.name.as_str());
            let request = CreateSecret {
                name: Some(secret.name),
                description: secret.description,
                text: Some(SecretText(secret.value)),
                token: Some(token(secret.token)),
                ..CreateSecret::default()
            };
            let answer = self.call(Some(&id), request).await?;
            let version = answer.version.ok_or_else(|| {
                StoreError::Internal(format!("{id}: the store made no version of the value"))
            })?;
            Ok(VersionId::new(version))
        })
    }

    fn delete<'a>(
        &'a self,
        id: &'a SecretId,
        how: Deletion,
    ) -> StoreFuture<'a, Option<SystemTime>> {
        Box::pin(async move {
            let (days, force) = match how {
                Deletion::Window { days } => (Some(i64::from(days)), None),
                Deletion::Now => (None, Some(true)),
            };
            let request = DeleteSecret {
                id: Some(id.within().to_owned()),
                days,
                force,
            };
            Ok(Some(time(self.call(Some(id), request).await?.at)))
        })
    }

    fn restore<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let request = RestoreSecret {
                id: Some(id.within().to_owned()),
            };
            self.call(Some(id), request).await.map(|_| ())
        })
    }
}

impl Policies for EmbeddedStore {
    fn policy<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Option<String>> {
        Box::pin(async move {
            let request = GetResourcePolicy {
                id: Some(id.within().to_owned()),
                ..GetResourcePolicy::default()
            };
            Ok(self.call(Some(id), request).await?.policy)
        })
    }

    fn put_policy<'a>(
        &'a self,
        id: &'a SecretId,
        text: String,
        block_public: bool,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let request = PutResourcePolicy {
                id: Some(id.within().to_owned()),
                policy: Some(text),
                block_public: Some(block_public),
                ..PutResourcePolicy::default()
            };
            self.call(Some(id), request).await.map(|_| ())
        })
    }

    fn delete_policy<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let request = DeleteResourcePolicy {
                id: Some(id.within().to_owned()),
                ..DeleteResourcePolicy::default()
            };
            self.call(Some(id), request).await.map(|_| ())
        })
    }

    fn validate_policy<'a>(
        &'a self,
        id: &'a SecretId,
        text: String,
    ) -> StoreFuture<'a, Vec<(String, String)>> {
        Box::pin(async move {
            let request = ValidateResourcePolicy {
                id: Some(id.within().to_owned()),
                policy: Some(text),
            };
            let errors = self.call(Some(id), request).await?.errors;
            Ok(errors.into_iter().map(|e| (e.check, e.message)).collect())
        })
    }
}
