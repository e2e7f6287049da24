//! DescribeSecret, ListSecrets.

use std::collections::BTreeMap;

use super::authorize::Asked;
use super::call::{Call, Operation};
use super::shapes::{self, Epoch, FilterShape, TagShape, answer, request};
use super::{ApiError, Check, page};
use crate::vault::rotation::{Metadata, Rules};
use crate::vault::search::{Filter, Page, Search, SortBy, search};
use crate::vault::secrets::{self, Secret};
use crate::vault::{VaultError, tags};

/// Entries on a page of ListSecrets and ListSecretVersionIds, unless MaxResults
/// says otherwise.
pub const PAGE: usize = 100;

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

/// A secret without its versions, and the versions: DescribeSecret and ListSecrets
/// have different names for that field.
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

/// What a word means. `check` has refused words that are not in the list.
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

/// The question that a NextToken belongs to. A token is good for no other.
pub fn question(
    filters: &[Filter],
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
