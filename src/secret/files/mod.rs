//! Secrets that are files: what Kubernetes, the CSI driver, agents and systemd write.
//!
//! A file shows one version only. So the versions that were seen stay in memory, as AWSPREVIOUS and
//! without a label: a file that arrives late, or in two parts, does no more harm than a rotation in
//! Secrets Manager. Only pgvalet's memory has them; after a restart there is what the file says.

mod place;
mod read;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch::Receiver;
use tracing::warn;
use zeroize::Zeroizing;

use super::seen::{Seen, Version};
use super::{
    Credential, Description, Marker, SecretId, SecretStore, SecretValue, Source, StoreError,
    StoreFuture, VersionId, Which,
};

/// The store of files below one directory.
pub struct FilesStore {
    inner: Arc<Inner>,
    changes: Receiver<u64>,
    _watcher: watch::Watcher,
}

struct Inner {
    root: PathBuf,
    marker: Marker,
    secrets: Mutex<HashMap<SecretId, Known>>,
}

#[derive(Default)]
struct Known {
    seen: Seen<Arc<Zeroizing<String>>>,
    /// Why others may read the file; the log says so once.
    exposed: Option<String>,
}

impl FilesStore {
    /// Secrets below `root`, which need not be there yet. Must be called within a Tokio
    /// runtime.
    pub fn open(root: &Path, marker: Marker) -> Self {
        let (watcher, changes) = watch::start(root);
        let inner = Inner {
            root: root.to_owned(),
            marker,
            secrets: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
            changes,
            _watcher: watcher,
        }
    }

    /// Looks at the files on a thread that may wait for them.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = self.inner.clone();
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.unwrap_or_else(|_| {
            Err(StoreError::Internal(
                "reading a secret's file failed".into(),
            ))
        })
    }
}

impl Inner {
    /// Reads the secret as it is now, and notes the version if it is new.
    fn look(&self, id: &SecretId) -> Result<(), StoreError> {
        let place = place::find(&self.root, id)?;
        let content = read::read(&self.root, id, &place)?;
        let version = self.marker.version(id, &content.value);
        let value = self.value(id, &version, content.value, Vec::new());
        // What is no whole credential may be one that is still being written. It is no
        // version, so that it takes no place among those that log in.
        Credential::parse(id, &value).map_err(|e| {
            let files: Vec<_> = content
                .files
                .iter()
                .map(|f| f.display().to_string())
                .collect();
            let place = match files.as_slice() {
                [] => self.root.join(id.within()).display().to_string(),
                files => files.join(", "),
            };
            StoreError::InvalidRequest(format!("{id}: {place} is no whole credential: {e}"))
        })?;
        let exposed = self.exposed(id, &content.files);
        let mut secrets = self.secrets.lock();
        let known = secrets.entry(id.clone()).or_default();
        if known.exposed != exposed
            && let Some(why) = &exposed
        {
            warn!("{why}");
        }
        known.exposed = exposed;
        known.seen.show(version, Arc::new(value.value));
        Ok(())
    }

    fn exposed(&self, id: &SecretId, files: &[PathBuf]) -> Option<String> {
        let root = self.root.canonicalize().ok()?;
        let open = |file: &&PathBuf| place::is_open_to_others(&root, file);
        let file = files.iter().find(open)?;
        Some(format!(
            "secret \"{id}\": every user of this machine can read {}; give it mode 0440 or 0400 \
             (Kubernetes: defaultMode), or close a directory above it to others",
            file.display()
        ))
    }

    fn value(
        &self,
        id: &SecretId,
        version: &VersionId,
        value: Zeroizing<String>,
        stages: Vec<String>,
    ) -> SecretValue {
        SecretValue {
            arn: self.arn(id),
            name: id.within().into(),
            version: version.clone(),
            stages,
            created: None,
            value,
        }
    }

    /// Files have no ARN; this says which file it is.
    fn arn(&self, id: &SecretId) -> Arc<str> {
        format!("file://{}", self.root.join(id.within()).display()).into()
    }

    fn get(&self, id: &SecretId, which: &Which) -> Result<SecretValue, StoreError> {
        let looked = self.look(id);
        let secrets = self.secrets.lock();
        let seen = secrets.get(id).map(|known| &known.seen);
        let (found, missing) = match which {
            Which::Stage(label) => {
                looked?;
                let missing = format!("{id}: no version of files carries {label}");
                (seen.and_then(|s| s.labelled(label)), missing)
            }
            // A version that was seen before is there whatever the file says now.
            Which::Version(version) => {
                let missing = format!("{id}: {version} was not seen since pgvalet started");
                (seen.and_then(|s| s.get(version)), missing)
            }
        };
        let (
            Version {
                id: version,
                content,
                since,
            },
            stages,
        ) = found.ok_or(StoreError::NotFound(missing))?;
        Ok(SecretValue {
            created: Some(*since),
            ..self.value(id, version, (**content).clone(), stages)
        })
    }

    fn describe(&self, id: &SecretId) -> Result<Description, StoreError> {
        self.look(id)?;
        let secrets = self.secrets.lock();
        let seen = secrets.get(id).map(|known| &known.seen);
        let since = seen.and_then(Seen::current).map(|v| v.since);
        Ok(Description {
            arn: self.arn(id),
            name: id.within().into(),
            description: None,
            created: None,
            last_changed: since,
            deleted: None,
            versions: seen.map(Seen::labels).unwrap_or_default(),
            rotation: None,
        })
    }
}

impl Source for FilesStore {
    fn get<'a>(&'a self, id: &'a SecretId, which: &'a Which) -> StoreFuture<'a, SecretValue> {
        let (id, which) = (id.clone(), which.clone());
        Box::pin(self.blocking(move |inner| inner.get(&id, &which)))
    }

    fn describe<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Description> {
        let id = id.clone();
        Box::pin(self.blocking(move |inner| inner.describe(&id)))
    }

    fn list(&self) -> StoreFuture<'_, Vec<Description>> {
        Box::pin(self.blocking(|inner| {
            let names = place::list(&inner.root)?;
            // Other files may lie there as well.
            Ok(names
                .iter()
                .filter_map(|id| inner.describe(id).ok())
                .collect())
        }))
    }

    fn versions<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Vec<VersionId>> {
        Box::pin(async move {
            let secrets = self.inner.secrets.lock();
            Ok(secrets
                .get(id)
                .map(|known| known.seen.ids())
                .unwrap_or_default())
        })
    }

    fn changes(&self) -> Option<Receiver<u64>> {
        Some(self.changes.clone())
    }
}

impl SecretStore for FilesStore {
    fn name(&self) -> &'static str {
        "files"
    }

    fn doubt(&self, id: &SecretId) -> Option<String> {
        self.inner.secrets.lock().get(id)?.exposed.clone()
    }
}
