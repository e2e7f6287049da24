//! HashiCorp Vault and OpenBao, by their HTTP API.
//!
//! The key/value engine keeps versions itself. Vault shows only the latest credential of a role of
//! the database engine, so that pgvalet keeps those it has seen in memory ([`Seen`]). One task
//! renews what has a lease, and replaces it before it ends.

mod client;
mod kv;
mod options;
mod path;
mod role;
mod token;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::task::AbortHandle;
use tracing::{info, warn};
use zeroize::Zeroizing;

use super::seen::Seen;
use super::{
    Description, Marker, SecretId, SecretStore, SecretValue, Source, StoreError, StoreFuture,
    VersionId, Which,
};
use client::Client;
use path::Path;
use role::{Kept, Lease};

pub use options::{VaultAuth, VaultOptions};

/// The time between two looks at what is due.
const TICK: Duration = Duration::from_millis(500);
/// How long after the end of a password's time the next one is asked for, and how often while Vault
/// has none: Vault is not punctual to the millisecond, and cannot rotate while Postgres is down.
const AFTER: Duration = Duration::from_millis(200);
const STILL: Duration = Duration::from_secs(5);

/// The store at one Vault.
pub struct VaultStore {
    inner: Arc<Inner>,
    keeper: AbortHandle,
}

struct Inner {
    client: Client,
    url: String,
    marker: Marker,
    roles: Mutex<HashMap<SecretId, Arc<AsyncMutex<Role>>>>,
    changes: watch::Sender<u64>,
}

/// A role of the database engine, and what is known of it.
#[derive(Default)]
struct Role {
    seen: Seen<Arc<Zeroizing<String>>>,
    /// The lease of a dynamic role.
    lease: Option<Lease>,
    /// When the password of a static role is over.
    expires: Option<Instant>,
}

impl Drop for VaultStore {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl VaultStore {
    /// Asks nothing yet, so that a proxy can start while Vault cannot be reached. Must
    /// be called within a Tokio runtime.
    ///
    /// # Errors
    /// [`StoreError::InvalidParameter`]: the options cannot be used.
    pub fn connect(options: VaultOptions, marker: Marker) -> Result<Self, StoreError> {
        let inner = Arc::new(Inner {
            url: options.url.clone(),
            client: Client::new(options)?,
            marker,
            roles: Mutex::default(),
            changes: watch::Sender::new(0),
        });
        let kept = inner.clone();
        let keeper = tokio::spawn(async move { kept.keep().await }).abort_handle();
        Ok(Self { inner, keeper })
    }
}

impl Inner {
    /// Renews tokens and leases, and notices that passwords are over.
    async fn keep(&self) {
        loop {
            tokio::time::sleep(TICK).await;
            self.client.keep_token().await;
            let roles: Vec<_> = {
                let roles = self.roles.lock();
                roles
                    .iter()
                    .map(|(id, role)| (id.clone(), role.clone()))
                    .collect()
            };
            for (id, role) in roles {
                let mut role = role.lock().await;
                if self.is_over(&id, &mut role).await {
                    self.changes.send_modify(|n| *n += 1);
                }
            }
        }
    }

    /// Whether a look will find something new.
    async fn is_over(&self, id: &SecretId, role: &mut Role) -> bool {
        if role.expires.is_some_and(|at| Instant::now() >= at) {
            role.expires = None;
            return true;
        }
        let Some(lease) = &mut role.lease else {
            return false;
        };
        if lease.keep(&self.client).await == Kept::Good {
            return false;
        }
        let Ok(Path::Dynamic { path }) = Path::parse(id) else {
            return false;
        };
        match self.new_user(id, &path, role).await {
            Ok(()) => true,
            Err(error) => {
                warn!(secret = %id, "no new user in Vault yet: {error}");
                if let Some(lease) = &mut role.lease {
                    lease.due = Instant::now() + Duration::from_secs(2);
                }
                false
            }
        }
    }

    async fn new_user(&self, id: &SecretId, path: &str, role: &mut Role) -> Result<(), StoreError> {
        let (value, lease) = role::of_dynamic(&self.client, id, path).await?;
        let version = self.marker.version(id, &value);
        info!(secret = %id, %version, "a new user in Vault");
        role.seen.show(version, Arc::new(value));
        role.lease = Some(lease);
        Ok(())
    }

    /// Brings what is known of a role up to date.
    async fn look(&self, id: &SecretId, path: &Path, role: &mut Role) -> Result<(), StoreError> {
        match path {
            Path::Static { path } => {
                let (value, ttl) = role::of_static(&self.client, id, path).await?;
                let ttl = ttl.map(|ttl| if ttl.is_zero() { STILL } else { ttl + AFTER });
                role.expires = ttl.and_then(|ttl| Instant::now().checked_add(ttl));
                let version = self.marker.version(id, &value);
                role.seen.show(version, Arc::new(value));
            }
            Path::Dynamic { path } => {
                let there = match &role.lease {
                    Some(lease) => lease.is_there(&self.client).await,
                    None => false,
                };
                if !there {
                    self.new_user(id, path, role).await?;
                }
            }
            Path::Kv { .. } => {}
        }
        Ok(())
    }

    fn role(&self, id: &SecretId) -> Arc<AsyncMutex<Role>> {
        self.roles.lock().entry(id.clone()).or_default().clone()
    }

    /// Vault has no ARNs; this says where the secret is.
    fn arn(&self, id: &SecretId) -> Arc<str> {
        format!("{}/v1/{}", self.url, id.within()).into()
    }

    async fn get(&self, id: &SecretId, which: &Which) -> Result<SecretValue, StoreError> {
        let path = Path::parse(id)?;
        if let Path::Kv { mount, name } = &path {
            let found = kv::get(&self.client, id, (mount, name), which).await?;
            let stages = match which {
                Which::Stage(label) => vec![label.clone()],
                Which::Version(_) => Vec::new(),
            };
            return Ok(self.value(id, found.id, stages, found.created, found.value));
        }
        let role = self.role(id);
        let mut role = role.lock().await;
        let current = *which == Which::current();
        // A dynamic role is looked at by `describe`; here it only has to have a user.
        if current && (role.lease.is_none() || matches!(path, Path::Static { .. })) {
            self.look(id, &path, &mut role).await?;
        }
        let (found, missing) = match which {
            Which::Stage(label) => (
                role.seen.labelled(label),
                format!("{id}: no version in Vault carries {label}"),
            ),
            Which::Version(version) => (
                role.seen.get(version),
                format!("{id}: {version} was not seen since pgvalet started"),
            ),
        };
        let (version, stages) = found.ok_or(StoreError::NotFound(missing))?;
        let (since, content) = (version.since, (*version.content).clone());
        Ok(self.value(id, version.id.clone(), stages, Some(since), content))
    }

    fn value(
        &self,
        id: &SecretId,
        version: VersionId,
        stages: Vec<String>,
        created: Option<std::time::SystemTime>,
        value: Zeroizing<String>,
    ) -> SecretValue {
        SecretValue {
            arn: self.arn(id),
            name: id.within().into(),
            version,
            stages,
            created,
            value,
        }
    }

    async fn describe(&self, id: &SecretId) -> Result<Description, StoreError> {
        let path = Path::parse(id)?;
        let (versions, since) = match &path {
            Path::Kv { mount, name } => (kv::labels(&self.client, mount, name).await?, None),
            Path::Static { .. } | Path::Dynamic { .. } => {
                let role = self.role(id);
                let mut role = role.lock().await;
                self.look(id, &path, &mut role).await?;
                (role.seen.labels(), role.seen.current().map(|v| v.since))
            }
        };
        Ok(Description {
            arn: self.arn(id),
            name: id.within().into(),
            description: None,
            created: None,
            last_changed: since,
            deleted: None,
            versions,
            rotation: None,
        })
    }
}

impl Source for VaultStore {
    fn get<'a>(&'a self, id: &'a SecretId, which: &'a Which) -> StoreFuture<'a, SecretValue> {
        Box::pin(self.inner.get(id, which))
    }

    fn describe<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Description> {
        Box::pin(self.inner.describe(id))
    }

    fn list(&self) -> StoreFuture<'_, Vec<Description>> {
        Box::pin(async {
            Err(StoreError::Unsupported(
                "pgvalet does not list what is in Vault; ask Vault, as in `vault kv list MOUNT` or \
                 `vault list MOUNT/static-roles`"
                    .into(),
            ))
        })
    }

    fn versions<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Vec<VersionId>> {
        Box::pin(async move {
            match Path::parse(id)? {
                Path::Kv { mount, name } => kv::versions(&self.inner.client, &mount, &name).await,
                Path::Static { .. } | Path::Dynamic { .. } => {
                    Ok(self.inner.role(id).lock().await.seen.ids())
                }
            }
        })
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(self.inner.changes.subscribe())
    }
}

impl SecretStore for VaultStore {
    fn name(&self) -> &'static str {
        "Vault"
    }
}
