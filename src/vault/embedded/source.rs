//! Reading secrets from the embedded store.

use tokio::sync::watch;

use super::EmbeddedStore;
use crate::secret::{
    Description, Labels, RotationRules, SecretId, SecretValue, Source, StoreError, StoreFuture,
    VersionId, Which,
};
use crate::vault::api::describe::{DescribeSecret, Described, ListSecrets, Stages};
use crate::vault::api::shapes::Epoch;
use crate::vault::api::values::GetSecretValue;
use crate::vault::api::versions::ListSecretVersionIds;
use crate::vault::tx;

impl Source for EmbeddedStore {
    fn get<'a>(&'a self, id: &'a SecretId, which: &'a Which) -> StoreFuture<'a, SecretValue> {
        Box::pin(async move {
            let (stage, version) = match which {
                Which::Stage(stage) => (Some(stage.clone()), None),
                Which::Version(version) => (None, Some(version.to_string())),
            };
            let request = GetSecretValue {
                id: Some(id.within().to_owned()),
                version,
                stage,
            };
            let found = self.call(Some(id), request).await?;
            let text = found.text.ok_or_else(|| StoreError::binary(id))?;
            Ok(SecretValue {
                arn: found.arn.into(),
                name: found.name.into(),
                version: VersionId::new(found.version),
                stages: found.stages.unwrap_or_default(),
                created: Some(time(found.created)),
                value: text.0,
            })
        })
    }

    fn describe<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Description> {
        Box::pin(async move {
            let request = DescribeSecret {
                id: Some(id.within().to_owned()),
            };
            let mut answer = self.call(Some(id), request).await?;
            let rotation = rotation(&mut answer);
            let stages = answer.stages.take();
            Ok(Description {
                rotation: Some(Box::new(rotation)),
                ..description(answer, stages)
            })
        })
    }

    fn list(&self) -> StoreFuture<'_, Vec<Description>> {
        Box::pin(async move {
            let (mut secrets, mut next) = (Vec::new(), None);
            loop {
                let request = ListSecrets {
                    next,
                    ..ListSecrets::default()
                };
                let page = self.call(None, request).await?;
                secrets.extend(page.secrets.into_iter().map(|mut secret| {
                    let stages = secret.listed_stages.take();
                    description(secret, stages)
                }));
                next = page.next;
                if next.is_none() {
                    break;
                }
            }
            secrets.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(secrets)
        })
    }

    fn versions<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Vec<VersionId>> {
        Box::pin(async move {
            let (mut versions, mut next) = (Vec::new(), None);
            loop {
                let request = ListSecretVersionIds {
                    id: Some(id.within().to_owned()),
                    deprecated: Some(true),
                    next,
                    ..ListSecretVersionIds::default()
                };
                let page = self.call(Some(id), request).await?;
                versions.extend(page.versions.into_iter().map(|v| VersionId::new(v.version)));
                next = page.next;
                if next.is_none() {
                    break;
                }
            }
            // The API lists them in the order in which they were made.
            versions.reverse();
            Ok(versions)
        })
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(self.0.changes())
    }
}

pub(super) fn time(at: Epoch) -> std::time::SystemTime {
    tx::time(at.0)
}

fn description(secret: Described, stages: Option<Stages>) -> Description {
    let versions: Labels = stages
        .into_iter()
        .flatten()
        .map(|(version, labels)| (VersionId::new(version), labels))
        .collect();
    Description {
        arn: secret.arn.into(),
        name: secret.name.into(),
        description: secret.description.filter(|d| !d.is_empty()),
        created: Some(time(secret.created)),
        last_changed: Some(time(secret.changed)),
        deleted: secret.deleted.map(time),
        versions,
        rotation: None,
    }
}

fn rotation(secret: &mut Described) -> RotationRules {
    let enabled = secret.rotation_enabled.unwrap_or(false);
    let rules = secret.rules.take().unwrap_or_default();
    let function = secret.lambda.take().filter(|by| enabled && !by.is_empty());
    RotationRules {
        enabled,
        by: function,
        after_days: rules.days.and_then(|days| u64::try_from(days).ok()),
        expression: rules.schedule,
        duration: rules.duration,
        last_rotated: secret.rotated.map(time),
    }
}
