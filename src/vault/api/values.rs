//! GetSecretValue, BatchGetSecretValue, PutSecretValue.

use super::authorize::Asked;
use super::call::{Call, Item, Operation, Subject};
use super::describe::question;
use super::shapes::{self, Epoch, FilterShape, SecretBytes, SecretText, answer, request};
use super::{ApiError, Check, page};
use crate::secret::AWSCURRENT;
use crate::vault::search::{Page, Search, SortBy, search};
use crate::vault::versions::{self, Version};
use crate::vault::{Value, VaultError, tx};

request!(GetSecretValue {
    id: String = "SecretId",
    version: String = "VersionId",
    stage: String = "VersionStage",
});

answer!(Found {
    arn: String = "ARN",
    name: String = "Name",
    version: String = "VersionId",
    created: Epoch = "CreatedDate";
    binary: SecretBytes = "SecretBinary",
    text: SecretText = "SecretString",
    stages: Vec<String> = "VersionStages",
});

impl From<Version> for Found {
    fn from(version: Version) -> Self {
        let (text, binary) = match version.value {
            Value::Text(text) => (Some(SecretText(text)), None),
            Value::Binary(bytes) => (None, Some(SecretBytes(bytes))),
        };
        Self {
            arn: version.arn.to_string(),
            name: version.name.to_string(),
            version: version.id.to_string(),
            binary,
            text,
            stages: Some(version.stages).filter(|s| !s.is_empty()),
            created: Epoch(tx::millis(version.created)),
        }
    }
}

/// GetSecretValue for one secret, alone or in a batch.
fn get(
    call: &Call<'_>,
    id: &str,
    version: Option<&str>,
    stage: Option<&str>,
) -> Result<Found, ApiError> {
    let asked = Asked::new(GetSecretValue::NAME)
        .with("secretsmanager:SecretId", Some(id))
        .with("secretsmanager:VersionId", version)
        .with(
            "secretsmanager:VersionStage",
            stage.or(version.is_none().then_some(AWSCURRENT)),
        );
    let secret = call.live(&asked, id)?;
    let found = versions::get(call.tx, &secret, version, stage)?;
    call.about_version(&found.id);
    call.notes.borrow_mut().accessed.extend(found.first_access);
    Ok(found.into())
}

impl Operation for GetSecretValue {
    type Answer = Found;
    const NAME: &'static str = "GetSecretValue";
    const WRITES: bool = false;

    fn check(&self, check: &mut Check) {
        check.secret_id(self.id.as_ref());
        check.text("versionId", self.version.as_ref(), 32..=64);
        check.text("versionStage", self.stage.as_ref(), 1..=256);
    }

    fn run(self, call: &Call<'_>) -> Result<Found, ApiError> {
        let id = self.id.unwrap_or_default();
        get(call, &id, self.version.as_deref(), self.stage.as_deref())
    }
}

request!(BatchGetSecretValue {
    ids: Vec<String> = "SecretIdList",
    filters: Vec<FilterShape> = "Filters",
    limit: i64 = "MaxResults",
    next: String = "NextToken",
});

answer!(Failed {
    id: String = "SecretId",
    code: String = "ErrorCode",
    message: String = "Message";
});

answer!(Batch {
    values: Vec<Found> = "SecretValues",
    errors: Vec<Failed> = "Errors";
    next: String = "NextToken",
});

impl BatchGetSecretValue {
    const PAGE: usize = 20;

    /// The secrets asked for, and the token of the next page.
    fn ids(self, call: &Call<'_>) -> Result<(Vec<String>, Option<String>), ApiError> {
        let wrong = |text: &str| Err(VaultError::InvalidParameter(text.into()).into());
        let filters = self.filters.filter(|f| !f.is_empty());
        match (self.ids, filters) {
            (Some(_), Some(_)) | (None, None) => {
                wrong("Either 'SecretIdList' or 'Filters' must be provided, but not both.")
            }
            (Some(_), None) if self.limit.is_some() => wrong(
                "'Filters' not specified. 'Filters' must also be specified when 'MaxResults' is \
                 provided.",
            ),
            (Some(_), None) if self.next.is_some() => {
                Err(VaultError::InvalidNextToken("The NextToken value is invalid.".into()).into())
            }
            (Some(ids), None) => Ok((ids, None)),
            (None, Some(filters)) => {
                call.allow(&Asked::new("ListSecrets"))?;
                let filters = shapes::filters(Some(filters))?;
                let question = question(&filters, false, SortBy::Created, false);
                let after = self
                    .next
                    .map(|token| page::decode(&question, &token))
                    .transpose()?;
                let limit = self.limit.and_then(|n| usize::try_from(n).ok());
                let Page { secrets, next } = search(
                    call.tx,
                    &Search {
                        filters,
                        planned_deletion: false,
                        sort_by: SortBy::Created,
                        descending: false,
                        after,
                        limit: limit.unwrap_or(Self::PAGE),
                    },
                )?;
                Ok((
                    secrets.into_iter().map(|secret| secret.arn).collect(),
                    next.map(|cursor| page::encode(&question, &cursor))
                        .transpose()?,
                ))
            }
        }
    }
}

impl Operation for BatchGetSecretValue {
    type Answer = Batch;
    const NAME: &'static str = "BatchGetSecretValue";
    const WRITES: bool = false;

    fn check(&self, check: &mut Check) {
        check.list("secretIdList", self.ids.as_ref(), 1..=20);
        for id in self.ids.iter().flatten() {
            check.text("secretIdList", Some(id), 1..=2048);
        }
        shapes::check_filters(check, self.filters.as_ref());
        check.number("maxResults", self.limit, 1..=20);
        check.next_token(self.next.as_ref());
    }

    fn run(self, call: &Call<'_>) -> Result<Batch, ApiError> {
        call.allow(&Asked::new(Self::NAME))?;
        let (ids, next) = self.ids(call)?;
        let mut values = Vec::new();
        let mut errors = Vec::new();
        for id in ids {
            call.notes.borrow_mut().subject = Subject::default();
            let found = get(call, &id, None, None);
            let error = found.as_ref().err().cloned();
            let mut notes = call.notes.borrow_mut();
            let subject = std::mem::take(&mut notes.subject);
            match found {
                Ok(found) => values.push(found),
                Err(error) => errors.push(Failed {
                    id: id.clone(),
                    code: error.kind.to_owned(),
                    message: error.message,
                }),
            }
            notes.items.push(Item { id, subject, error });
        }
        Ok(Batch {
            values,
            next,
            errors,
        })
    }
}

request!(PutSecretValue {
    id: String = "SecretId",
    token: String = "ClientRequestToken",
    binary: SecretBytes = "SecretBinary",
    text: SecretText = "SecretString",
    stages: Vec<String> = "VersionStages",
    rotation_token: SecretText = "RotationToken",
});

answer!(Put {
    arn: String = "ARN",
    name: String = "Name",
    version: String = "VersionId";
    stages: Vec<String> = "VersionStages",
});

impl Operation for PutSecretValue {
    type Answer = Put;
    const NAME: &'static str = "PutSecretValue";
    const WRITES: bool = true;

    fn check(&self, check: &mut Check) {
        check.secret_id(self.id.as_ref());
        check.token(self.token.as_ref());
        shapes::check_value(check, self.text.as_ref(), self.binary.as_ref());
        check.list("versionStages", self.stages.as_ref(), 1..=20);
        for stage in self.stages.iter().flatten() {
            check.text("versionStages", Some(stage), 1..=256);
        }
        let rotation_token = self.rotation_token.as_ref().map(|t| t.0.len());
        check.secret("rotationToken", rotation_token, 36..=256);
    }

    fn run(self, call: &Call<'_>) -> Result<Put, ApiError> {
        let id = self.id.unwrap_or_default();
        let asked = Asked::new(Self::NAME)
            .with("secretsmanager:SecretId", Some(&id))
            .with_list(
                "secretsmanager:VersionStage",
                self.stages.clone().unwrap_or_default(),
            );
        let secret = match call.live(&asked, &id) {
            // Whoever may write learns first that there is nothing to be written.
            Err(e) if e.kind != "ResourceNotFoundException" => return Err(e),
            _ if self.text.is_none() && self.binary.is_none() => return Err(no_value()),
            found => found?,
        };
        shapes::needs_token(self.token.as_ref())?;
        let value = shapes::value(self.text, self.binary)?.ok_or_else(no_value)?;
        super::rotation::may_write(call, Some(&value))?;
        let stages = self.stages.unwrap_or_default();
        let version = versions::put(call.tx, &secret, &value, &stages, self.token.as_deref())?;
        call.about_version(&version);
        let stages = versions::by_token(call.tx, &secret, version.as_str())?
            .map(|row| crate::vault::labels::of(call.tx, row.id))
            .transpose()?
            .unwrap_or_default();
        Ok(Put {
            arn: secret.arn,
            name: secret.name,
            version: version.to_string(),
            stages: Some(stages).filter(|s| !s.is_empty()),
        })
    }
}

fn no_value() -> ApiError {
    VaultError::InvalidRequest("You must provide either SecretString or SecretBinary.".into())
        .into()
}
