//! What a rotation finds: the labels, the versions they point at, and which of
//! these versions logs in.

use std::sync::Arc;
use std::time::Duration;

use super::error::RotationError;
use super::sql::Session;
use super::value::Document;
use crate::secret::{
    AWSCURRENT, AWSPENDING, AWSPREVIOUS, Credential, Labels, SecretId, SecretValue, Source,
    StoreError, VersionId, Which, version_with,
};
use crate::upstream::{ConnectError, Target};

/// How many versions without a label are tried. A change by hand in the middle of
/// a rotation takes AWSPENDING from the version whose password is in force.
const UNLABELLED: usize = 5;

/// A version with its content.
#[derive(Clone)]
pub struct Version {
    pub credential: Arc<Credential>,
    pub document: Document,
}

/// What AWSPENDING points at.
pub enum Pending {
    /// AWSPENDING is on no version, or on the current one: a rotation that is complete leaves it
    /// so.
    None,
    /// A version without a value: a rotation was asked for and has not begun.
    Reserved(VersionId),
    Filled(Box<Version>),
}

/// What a look at the secret has found.
pub struct Ground {
    /// The name of the secret in the store.
    pub name: Arc<str>,
    pub labels: Labels,
    pub current: Version,
    pub pending: Pending,
    /// Who rotates the secret instead of pgvalet: a service or a function.
    pub left_to: Option<String>,
}

impl Ground {
    /// Asks the store for the labels, and for the versions that matter.
    pub async fn look(store: &dyn Source, secret: &SecretId) -> Result<Self, RotationError> {
        let description = store.describe(secret).await?;
        let labelled = |label| move |e: RotationError| e.of_version_with(label);
        let current = fetch(store, secret, &Which::current()).await;
        let current = current.map_err(labelled(AWSCURRENT))?;
        let pending = match description.version_with(AWSPENDING) {
            Some(version) if *version != current.credential.version => {
                match fetch(store, secret, &Which::Version(version.clone())).await {
                    Ok(version) => Pending::Filled(Box::new(version)),
                    Err(RotationError::Store(StoreError::NotFound(_))) => {
                        Pending::Reserved(version.clone())
                    }
                    Err(e) => return Err(labelled(AWSPENDING)(e)),
                }
            }
            _ => Pending::None,
        };
        Ok(Self {
            name: description.name,
            labels: description.versions,
            current,
            pending,
            left_to: description.rotation.and_then(|rules| rules.by),
        })
    }

    pub fn version(&self) -> &VersionId {
        &self.current.credential.version
    }

    /// The versions whose password may be the one in force for the user of the
    /// current version, the likeliest first.
    async fn candidates(
        &self,
        store: &dyn Source,
        secret: &SecretId,
    ) -> Result<Vec<Arc<Credential>>, RotationError> {
        let current = &self.current.credential;
        let mut candidates = Vec::new();
        if let Pending::Filled(pending) = &self.pending {
            candidates.push(pending.credential.clone());
        }
        candidates.push(current.clone());
        let previous = version_with(&self.labels, AWSPREVIOUS);
        let mut others: Vec<VersionId> = previous.cloned().into_iter().collect();
        let unlabelled = store.versions(secret).await.unwrap_or_default();
        let unlabelled = unlabelled
            .into_iter()
            .filter(|v| !self.labels.contains_key(v));
        others.extend(unlabelled.take(UNLABELLED));
        for version in others {
            // A version that cannot be read is no candidate.
            if let Ok(version) = fetch(store, secret, &Which::Version(version)).await {
                candidates.push(version.credential);
            }
        }
        candidates.retain(|c| c.username == current.username && differs(c, current).is_none());
        Ok(candidates)
    }

    /// Logs in as the user of the current version with whichever version does.
    pub async fn login(
        &self,
        store: &dyn Source,
        secret: &SecretId,
        target: &Arc<Target>,
        limit: Duration,
    ) -> Result<(Session, Arc<Credential>), RotationError> {
        // First the versions that were read already: usually one of them logs in.
        let mut tried: Vec<VersionId> = Vec::new();
        let (mut reason, mut away) = (None, None);
        let quick = match &self.pending {
            Pending::Filled(p) => vec![p.credential.clone(), self.current.credential.clone()],
            _ => vec![self.current.credential.clone()],
        };
        for round in 0..2 {
            let candidates = match round {
                0 => quick.clone(),
                _ => self.candidates(store, secret).await?,
            };
            for candidate in candidates {
                let of_user = candidate.username == self.current.credential.username;
                if !of_user || tried.contains(&candidate.version) {
                    continue;
                }
                tried.push(candidate.version.clone());
                match Session::open(target, &candidate, limit).await {
                    Ok(session) => return Ok((session, candidate)),
                    Err(e) if e.is_authentication() => reason = Some(e),
                    // One of several servers may be away for good.
                    Err(e) if !target.places.is_empty() => away = Some(e),
                    Err(e) => return Err(e.into()),
                }
            }
        }
        if let Some(e) = away {
            return Err(e.into());
        }
        Err(RotationError::NobodyLogsIn {
            secret: secret.clone(),
            user: self.current.credential.username.clone(),
            tried: tried.len(),
            sqlstate: reason
                .as_ref()
                .map_or_else(String::new, |e: &ConnectError| e.sqlstate().to_owned()),
            reason: reason.map_or_else(String::new, |e| e.to_string()),
        })
    }
}

/// The field in which a version leads to another place than the current one. Such
/// a version is not used: otherwise the right to write the secret would be the
/// right to send the rotation somewhere else.
pub fn differs(version: &Credential, from: &Credential) -> Option<&'static str> {
    if version.host != from.host {
        Some("host")
    } else if version.port != from.port {
        Some("port")
    } else if version.dbname != from.dbname {
        Some("database")
    } else {
        None
    }
}

/// Fetches one version. NotFound: there is no such version, or it has no value
/// yet.
pub async fn fetch(
    store: &dyn Source,
    secret: &SecretId,
    which: &Which,
) -> Result<Version, RotationError> {
    let value = store.get(secret, which).await?;
    parse(secret, &value)
}

pub fn parse(secret: &SecretId, value: &SecretValue) -> Result<Version, RotationError> {
    let malformed = |error| RotationError::Malformed {
        secret: secret.clone(),
        version: value.version.clone(),
        label: None,
        error,
    };
    Ok(Version {
        credential: Arc::new(Credential::parse(secret, value).map_err(malformed)?),
        document: Document::parse(&value.value).map_err(malformed)?,
    })
}

/// The version that a label points at, as the store says now.
pub async fn holder(
    store: &dyn Source,
    secret: &SecretId,
    label: &str,
) -> Result<Option<VersionId>, StoreError> {
    Ok(store.describe(secret).await?.version_with(label).cloned())
}

/// Whether the store says that a version is the current one.
pub async fn is_current(
    store: &dyn Source,
    secret: &SecretId,
    version: &VersionId,
) -> Result<bool, StoreError> {
    Ok(holder(store, secret, AWSCURRENT).await?.as_ref() == Some(version))
}
