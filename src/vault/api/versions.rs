//! ListSecretVersionIds, UpdateSecretVersionStage.

use super::authorize::Asked;
use super::call::{Call, Operation};
use super::describe::PAGE;
use super::secrets::Named;
use super::shapes::{Epoch, answer, request};
use super::{ApiError, Check, page};
use crate::vault::{labels, versions};

request!(ListSecretVersionIds {
    id: String = "SecretId",
    limit: i64 = "MaxResults",
    next: String = "NextToken",
    deprecated: bool = "IncludeDeprecated",
});

answer!(Entry {
    version: String = "VersionId",
    created: Epoch = "CreatedDate",
    kms_keys: Vec<String> = "KmsKeyIds";
    stages: Vec<String> = "VersionStages",
    accessed: Epoch = "LastAccessedDate",
});

answer!(Versions {
    versions: Vec<Entry> = "Versions",
    arn: String = "ARN",
    name: String = "Name";
    next: String = "NextToken",
});

impl From<versions::Entry> for Entry {
    fn from(entry: versions::Entry) -> Self {
        // The name that AWS has for the service's own key.
        let kms_key = entry
            .kms_key
            .unwrap_or_else(|| "DefaultEncryptionKey".into());
        Self {
            version: entry.token,
            stages: Some(entry.stages).filter(|s| !s.is_empty()),
            accessed: entry.accessed.map(Epoch),
            created: Epoch(entry.created),
            kms_keys: vec![kms_key],
        }
    }
}

impl Operation for ListSecretVersionIds {
    type Answer = Versions;
    const NAME: &'static str = "ListSecretVersionIds";
    const WRITES: bool = false;

    fn check(&self, check: &mut Check) {
        check.secret_id(self.id.as_ref());
        check.number("maxResults", self.limit, 1..=100);
        check.next_token(self.next.as_ref());
    }

    fn run(self, call: &Call<'_>) -> Result<Versions, ApiError> {
        let id = self.id.unwrap_or_default();
        let asked = Asked::new(Self::NAME).with("secretsmanager:SecretId", Some(&id));
        let secret = call.secret(&asked, &id)?;
        let deprecated = self.deprecated.unwrap_or(false);
        let question = format!("versions {} {deprecated}", secret.arn);
        let after = match self.next {
            Some(token) => page::decode::<i64>(&question, &token)?,
            None => 0,
        };
        let limit = self
            .limit
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(PAGE);
        // One entry more than asked for tells whether there is a next page.
        let mut entries = versions::list(call.tx, &secret, deprecated, after, limit + 1)?;
        let more = entries.len() > limit;
        entries.truncate(limit);
        let next = match entries.last() {
            Some(last) if more => Some(page::encode(&question, &last.id)?),
            _ => None,
        };
        Ok(Versions {
            versions: entries.into_iter().map(Entry::from).collect(),
            next,
            arn: secret.arn,
            name: secret.name,
        })
    }
}

request!(UpdateSecretVersionStage {
    id: String = "SecretId",
    stage: String = "VersionStage",
    from: String = "RemoveFromVersionId",
    to: String = "MoveToVersionId",
});

impl Operation for UpdateSecretVersionStage {
    type Answer = Named;
    const NAME: &'static str = "UpdateSecretVersionStage";
    const WRITES: bool = true;

    fn check(&self, check: &mut Check) {
        check.secret_id(self.id.as_ref());
        check.required("versionStage", self.stage.as_ref());
        check.text("versionStage", self.stage.as_ref(), 1..=256);
        check.text("removeFromVersionId", self.from.as_ref(), 32..=64);
        check.text("moveToVersionId", self.to.as_ref(), 32..=64);
    }

    fn run(self, call: &Call<'_>) -> Result<Named, ApiError> {
        let id = self.id.unwrap_or_default();
        let asked = Asked::new(Self::NAME)
            .with("secretsmanager:SecretId", Some(&id))
            .with("secretsmanager:VersionStage", self.stage.as_ref());
        let secret = call.live(&asked, &id)?;
        let stage = self.stage.unwrap_or_default();
        let (to, from) = (self.to.as_deref(), self.from.as_deref());
        labels::update(call.tx, &secret, &stage, to, from)?;
        Ok(secret.into())
    }
}
