//! Secrets of the key/value engine, version 2, which keeps versions itself.

use std::time::SystemTime;

use chrono::DateTime;
use serde_json::Value;
use zeroize::Zeroizing;

use super::client::Client;
use crate::secret::{AWSCURRENT, AWSPREVIOUS, Labels, SecretId, StoreError, VersionId, Which};

/// A version: its number, and when it was made. A secret that is made again begins
/// at 1, so that the number alone would be no name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    number: u64,
    created: String,
}

impl Entry {
    fn id(&self) -> VersionId {
        VersionId::new(format!("{}@{}", self.number, self.created))
    }
}

/// A version with its value.
pub(super) struct Found {
    pub id: VersionId,
    pub created: Option<SystemTime>,
    pub value: Zeroizing<String>,
}

/// Versions that were not deleted, the newest first.
async fn entries(client: &Client, mount: &str, name: &str) -> Result<Vec<Entry>, StoreError> {
    let answer = client.get(&format!("{mount}/metadata/{name}")).await?;
    let versions = answer["data"]["versions"].as_object();
    let mut found: Vec<Entry> = versions
        .into_iter()
        .flatten()
        .filter(|(_, v)| {
            let deleted = v["deletion_time"].as_str().is_some_and(|t| !t.is_empty());
            !deleted && v["destroyed"].as_bool() != Some(true)
        })
        .filter_map(|(number, v)| {
            Some(Entry {
                number: number.parse().ok()?,
                created: v["created_time"].as_str()?.to_owned(),
            })
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    Ok(found)
}

pub(super) async fn labels(client: &Client, mount: &str, name: &str) -> Result<Labels, StoreError> {
    let entries = entries(client, mount, name).await?;
    let labelled = entries.iter().zip([AWSCURRENT, AWSPREVIOUS]);
    Ok(labelled
        .map(|(entry, label)| (entry.id(), vec![label.to_owned()]))
        .collect())
}

pub(super) async fn versions(
    client: &Client,
    mount: &str,
    name: &str,
) -> Result<Vec<VersionId>, StoreError> {
    let entries = entries(client, mount, name).await?;
    Ok(entries.iter().map(Entry::id).collect())
}

pub(super) async fn get(
    client: &Client,
    id: &SecretId,
    (mount, name): (&str, &str),
    which: &Which,
) -> Result<Found, StoreError> {
    let number = match which {
        Which::Stage(label) if label == AWSCURRENT => None,
        Which::Stage(label) if label == AWSPREVIOUS => Some(previous(client, mount, name).await?),
        Which::Stage(label) => {
            return Err(StoreError::NotFound(format!(
                "{id}: no version in Vault carries {label}"
            )));
        }
        Which::Version(version) => {
            let number = version
                .as_str()
                .split('@')
                .next()
                .and_then(|n| n.parse().ok());
            Some(number.ok_or_else(|| {
                StoreError::NotFound(format!("{id}: {version} is no version in Vault"))
            })?)
        }
    };
    let found = match (value(client, id, (mount, name), number).await, number) {
        // The newest version was deleted; the label is with the one before it.
        (Err(gone @ StoreError::NotFound(_)), None) => {
            let left = entries(client, mount, name).await.unwrap_or_default();
            let newest = left.first().ok_or(gone)?;
            value(client, id, (mount, name), Some(newest.number)).await?
        }
        (found, _) => found?,
    };
    match which {
        Which::Version(version) if found.id != *version => Err(StoreError::NotFound(format!(
            "{id}: {version} is gone; the secret was made again"
        ))),
        _ => Ok(found),
    }
}

/// A version with its value; without a number the newest.
async fn value(
    client: &Client,
    id: &SecretId,
    (mount, name): (&str, &str),
    number: Option<u64>,
) -> Result<Found, StoreError> {
    let query = number.map(|n| format!("?version={n}")).unwrap_or_default();
    let answer = client.get(&format!("{mount}/data/{name}{query}")).await?;
    read(id, &answer["data"])
}

/// The number of the version before the current one. Where the list of versions may
/// not be read, the one before it in number.
async fn previous(client: &Client, mount: &str, name: &str) -> Result<u64, StoreError> {
    let none = || StoreError::NotFound(format!("{mount}/data/{name} has no previous version"));
    match entries(client, mount, name).await {
        Ok(entries) => entries.get(1).map(|entry| entry.number).ok_or_else(none),
        Err(StoreError::Denied(_)) => {
            let current = client.get(&format!("{mount}/data/{name}")).await?;
            let number = current["data"]["metadata"]["version"].as_u64();
            number
                .and_then(|n| n.checked_sub(1))
                .filter(|n| *n > 0)
                .ok_or_else(none)
        }
        Err(e) => Err(e),
    }
}

fn read(id: &SecretId, data: &Value) -> Result<Found, StoreError> {
    let metadata = &data["metadata"];
    let (Some(number), Some(created)) = (
        metadata["version"].as_u64(),
        metadata["created_time"].as_str(),
    ) else {
        return Err(StoreError::InvalidRequest(format!(
            "{id}: the answer has no version; is it an engine of version 2?"
        )));
    };
    // A version that was deleted is there, without a value.
    if !data["data"].is_object() {
        return Err(StoreError::NotFound(format!(
            "{id}: version {number} was deleted"
        )));
    }
    let entry = Entry {
        number,
        created: created.to_owned(),
    };
    Ok(Found {
        id: entry.id(),
        created: DateTime::parse_from_rfc3339(created)
            .ok()
            .map(SystemTime::from),
        value: Zeroizing::new(data["data"].to_string()),
    })
}
