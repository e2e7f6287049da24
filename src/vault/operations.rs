//! Operations on a vault without a caller: no checks of the service model, no
//! permissions, no trail.

use std::time::SystemTime;

use super::{Value, Vault, VaultError, Version, delete, labels, search, secrets, tx, versions};
use crate::secret::{Deletion, Description, VersionId};

impl Vault {
    /// CreateSecret.
    pub async fn create(
        &self,
        name: String,
        description: Option<String>,
        value: Value,
        token: Option<VersionId>,
    ) -> Result<VersionId, VaultError> {
        self.write(move |tx| {
            let token = token.as_ref().map(VersionId::as_str);
            let new = secrets::New {
                name: &name,
                description: description.as_deref(),
                value: Some(&value),
                token,
                ..Default::default()
            };
            let (_, version) = secrets::create(tx, &new)?;
            version.ok_or_else(|| VaultError::Internal("a value made no version".into()))
        })
        .await
    }

    /// GetSecretValue; AWSCURRENT where neither version nor stage is given.
    pub async fn get(
        &self,
        id: String,
        version: Option<VersionId>,
        stage: Option<String>,
    ) -> Result<Version, VaultError> {
        self.read(move |tx| {
            let version = version.as_ref().map(VersionId::as_str);
            let secret = secrets::find_live(tx, &id)?;
            versions::get(tx, &secret, version, stage.as_deref())
        })
        .await
    }

    /// PutSecretValue; AWSCURRENT where no stage is given.
    pub async fn put(
        &self,
        id: String,
        value: Value,
        stages: Vec<String>,
        token: Option<VersionId>,
    ) -> Result<VersionId, VaultError> {
        self.write(move |tx| {
            let secret = secrets::find_live(tx, &id)?;
            let token = token.as_ref().map(VersionId::as_str);
            versions::put(tx, &secret, &value, &stages, token)
        })
        .await
    }

    /// DescribeSecret.
    pub async fn describe(&self, id: String) -> Result<Description, VaultError> {
        self.read(move |tx| secrets::describe(tx, &id)).await
    }

    /// ListSecrets, ordered by name.
    pub async fn list(
        &self,
        include_planned_deletion: bool,
    ) -> Result<Vec<Description>, VaultError> {
        self.read(move |tx| {
            let all = search::Search {
                filters: Vec::new(),
                planned_deletion: include_planned_deletion,
                sort_by: search::SortBy::Name,
                descending: false,
                after: None,
                limit: usize::MAX,
            };
            let found = search::search(tx, &all)?.secrets.into_iter();
            found.map(|secret| secrets::described(tx, secret)).collect()
        })
        .await
    }

    /// UpdateSecretVersionStage.
    pub async fn update_version_stage(
        &self,
        id: String,
        label: String,
        to: Option<VersionId>,
        from: Option<VersionId>,
    ) -> Result<(), VaultError> {
        self.write(move |tx| {
            let (to, from) = (to.as_ref(), from.as_ref());
            labels::update(
                tx,
                &secrets::find_live(tx, &id)?,
                &label,
                to.map(VersionId::as_str),
                from.map(VersionId::as_str),
            )
        })
        .await
    }

    /// DeleteSecret; when it will be gone.
    pub async fn delete(&self, id: String, how: Deletion) -> Result<SystemTime, VaultError> {
        self.write(move |tx| match delete::find(tx, &id, how)? {
            Some(secret) => delete::delete(tx, &secret, how),
            None => Ok(tx.now),
        })
        .await
        .map(tx::time)
    }
}
