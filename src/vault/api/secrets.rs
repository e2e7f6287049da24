//! CreateSecret, UpdateSecret, DescribeSecret, ListSecrets, DeleteSecret,
//! RestoreSecret.

use std::collections::BTreeMap;

use serde::Serialize;

use super::authorize::Asked;
use super::call::{Call, Operation};
use super::shapes::{self, Epoch, FilterShape, SecretBytes, SecretText, TagShape, answer, request};
use super::{ApiError, Check, page};
use crate::secret::Deletion;
use crate::vault::rotation::{Metadata, Rules};
use crate::vault::search::{Page, Search, SortBy, search};
use crate::vault::secrets::{self, New, Secret, Update};
use crate::vault::{VaultError, delete, tags};

/// Of ListSecrets and ListSecretVersionIds.
pub const PAGE: usize = 100;

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

request!(DescribeSecret {
    id: String = "SecretId",
});

pub type Stages = BTreeMap<String, Vec<String>>;

answer!(Described {
    arn: String = "ARN",
    name: String = "Name",
    changed: Epoch = "LastChangedDate",
    created: Epoch = "CreatedDate";
    kind: String = "Type",
    description: String = "Description",
    kms_key: String = "KmsKeyId",
    rotation_enabled: bool = "RotationEnabled",
    lambda: String = "RotationLambdaARN",
    rules: Rules = "RotationRules",
    metadata: Vec<Metadata> = "ExternalSecretRotationMetadata",
    role: String = "ExternalSecretRotationRoleArn",
    rotated: Epoch = "LastRotatedDate",
    accessed: Epoch = "LastAccessedDate",
    deleted: Epoch = "DeletedDate",
    next_rotation: Epoch = "NextRotationDate",
    tags: Vec<TagShape> = "Tags",
    stages: Stages = "VersionIdsToStages",
    listed_stages: Stages = "SecretVersionsToStages",
});

/// All of it but the versions, which DescribeSecret and ListSecrets call
/// differently.
fn described(call: &Call<'_>, secret: Secret) -> Result<(Described, Stages), VaultError> {
    let tags = tags::of(call.tx, secret.id)?;
    let stages: Stages = secrets::labelled(call.tx, &secret)?
        .into_iter()
        .map(|(version, labels)| (version.to_string(), labels))
        .collect();
    let next = secret
        .rotation
        .as_ref()
        .and_then(|rotation| rotation.next(secret.rotated.unwrap_or(secret.created)));
    let rotation = secret.rotation;
    Ok((
        Described {
            arn: secret.arn,
            name: secret.name,
            kind: secret.kind,
            description: secret.description,
            kms_key: secret.kms_key,
            rotation_enabled: rotation.as_ref().map(|r| r.enabled),
            next_rotation: next.map(Epoch),
            rotated: secret.rotated.map(Epoch),
            changed: Epoch(secret.changed),
            accessed: secret.accessed.map(Epoch),
            deleted: secret.deletion.map(Epoch),
            tags: Some(shapes::tag_shapes(tags)).filter(|t| !t.is_empty()),
            created: Epoch(secret.created),
            ..rotation.map_or_else(Described::default, |r| Described {
                lambda: r.lambda,
                rules: r.rules,
                metadata: r.metadata,
                role: r.role,
                ..Described::default()
            })
        },
        stages,
    ))
}

impl Operation for DescribeSecret {
    type Answer = Described;
    const NAME: &'static str = "DescribeSecret";
    const WRITES: bool = false;

    fn check(&self, check: &mut Check) {
        check.secret_id(self.id.as_ref());
    }

    fn run(self, call: &Call<'_>) -> Result<Described, ApiError> {
        let id = self.id.unwrap_or_default();
        let asked = Asked::new(Self::NAME).with("secretsmanager:SecretId", Some(&id));
        let secret = call.secret(&asked, &id)?;
        let (answer, stages) = described(call, secret)?;
        Ok(Described {
            stages: Some(stages).filter(|s| !s.is_empty()),
            ..answer
        })
    }
}

request!(ListSecrets {
    planned_deletion: bool = "IncludePlannedDeletion",
    limit: i64 = "MaxResults",
    next: String = "NextToken",
    filters: Vec<FilterShape> = "Filters",
    order: String = "SortOrder",
    sort_by: String = "SortBy",
});

const ORDERS: [(&str, bool); 2] = [("asc", false), ("desc", true)];

/// The meaning of a word that was checked.
fn meaning<T: Copy + Default>(word: Option<&String>, words: &[(&'static str, T)]) -> T {
    word.and_then(|word| words.iter().find(|(w, _)| w == word))
        .map_or_else(T::default, |(_, meaning)| *meaning)
}

answer!(Listed {
    secrets: Vec<Described> = "SecretList";
    next: String = "NextToken",
});

impl Operation for ListSecrets {
    type Answer = Listed;
    const NAME: &'static str = "ListSecrets";
    const WRITES: bool = false;

    fn check(&self, check: &mut Check) {
        check.number("maxResults", self.limit, 1..=100);
        check.next_token(self.next.as_ref());
        check.word("sortOrder", self.order.as_ref(), &ORDERS);
        check.word("sortBy", self.sort_by.as_ref(), &SortBy::NAMES);
        shapes::check_filters(check, self.filters.as_ref());
    }

    fn run(self, call: &Call<'_>) -> Result<Listed, ApiError> {
        call.allow(&Asked::new(Self::NAME))?;
        let planned_deletion = self.planned_deletion.unwrap_or(false);
        let sort_by = meaning(self.sort_by.as_ref(), &SortBy::NAMES);
        let descending = meaning(self.order.as_ref(), &ORDERS);
        let filters = shapes::filters(self.filters)?;
        let question = question(&filters, planned_deletion, sort_by, descending);
        let after = self
            .next
            .map(|token| page::decode(&question, &token))
            .transpose()?;
        let limit = self
            .limit
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(PAGE);
        let Page { secrets, next } = search(
            call.tx,
            &Search {
                filters,
                planned_deletion,
                sort_by,
                descending,
                after,
                limit,
            },
        )?;
        let list = secrets.into_iter().map(|secret| {
            let (answer, stages) = described(call, secret)?;
            Ok(Described {
                listed_stages: Some(stages).filter(|s| !s.is_empty()),
                ..answer
            })
        });
        Ok(Listed {
            secrets: list.collect::<Result<_, VaultError>>()?,
            next: next
                .map(|cursor| page::encode(&question, &cursor))
                .transpose()?,
        })
    }
}

/// What a NextToken of ListSecrets belongs to.
pub fn question(
    filters: &[crate::vault::search::Filter],
    planned_deletion: bool,
    sort_by: SortBy,
    descending: bool,
) -> String {
    let filters: Vec<String> = filters
        .iter()
        .map(|f| format!("{:?} {:?}", f.key, f.values))
        .collect();
    format!("{planned_deletion} {sort_by:?} {descending} {filters:?}")
}

request!(DeleteSecret {
    id: String = "SecretId",
    days: i64 = "RecoveryWindowInDays",
    force: bool = "ForceDeleteWithoutRecovery",
});

answer!(Deleted {
    name: String = "Name",
    at: Epoch = "DeletionDate";
    arn: String = "ARN",
});

impl Operation for DeleteSecret {
    type Answer = Deleted;
    const NAME: &'static str = "DeleteSecret";
    const WRITES: bool = true;

    fn check(&self, check: &mut Check) {
        check.secret_id(self.id.as_ref());
    }

    fn run(self, call: &Call<'_>) -> Result<Deleted, ApiError> {
        let id = self.id.unwrap_or_default();
        let asked = Asked::new(Self::NAME)
            .with("secretsmanager:SecretId", Some(&id))
            .with("secretsmanager:RecoveryWindowInDays", self.days)
            .with("secretsmanager:ForceDeleteWithoutRecovery", self.force);
        let how = match (self.force.unwrap_or(false), self.days) {
            (true, Some(_)) => {
                return Err(VaultError::InvalidParameter(
                    "You can't use ForceDeleteWithoutRecovery in conjunction with \
                     RecoveryWindowInDays."
                        .into(),
                )
                .into());
            }
            (true, None) => Deletion::Now,
            (false, days) => {
                let days = days.unwrap_or(30);
                delete::check_window(days)?;
                Deletion::Window {
                    days: u32::try_from(days).unwrap_or(30),
                }
            }
        };
        let secret = match call.secret(&asked, &id) {
            Ok(secret) => secret,
            // Deleting at once what is not there reaches what was asked for.
            Err(e) if how == Deletion::Now && e.kind == "ResourceNotFoundException" => {
                return Ok(Deleted {
                    arn: None,
                    name: id,
                    at: Epoch(call.tx.now),
                });
            }
            Err(e) => return Err(e),
        };
        let at = delete::delete(call.tx, &secret, how)?;
        Ok(Deleted {
            arn: Some(secret.arn),
            name: secret.name,
            at: Epoch(at),
        })
    }
}

request!(RestoreSecret {
    id: String = "SecretId",
});

/// What many operations answer.
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

impl Operation for RestoreSecret {
    type Answer = Named;
    const NAME: &'static str = "RestoreSecret";
    const WRITES: bool = true;

    fn check(&self, check: &mut Check) {
        check.secret_id(self.id.as_ref());
    }

    fn run(self, call: &Call<'_>) -> Result<Named, ApiError> {
        let id = self.id.unwrap_or_default();
        let asked = Asked::new(Self::NAME).with("secretsmanager:SecretId", Some(&id));
        let secret = call.secret(&asked, &id)?;
        delete::restore(call.tx, &secret)?;
        Ok(secret.into())
    }
}
