//! A store with one secret.

use std::time::SystemTime;

use parking_lot::Mutex;
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::secret::{
    AWSCURRENT, Description, SecretId, SecretValue, Source, StoreError, StoreFuture, VersionId,
    Which,
};

/// One secret, whose AWSCURRENT a test moves.
pub struct Store {
    current: Mutex<(VersionId, String)>,
    changes: watch::Sender<u64>,
}

impl Store {
    /// A server at this port of the machine, where one user logs in.
    pub(super) fn new(version: &str, user: &str, port: u16) -> Self {
        Self {
            current: Mutex::new(content(version, user, port)),
            changes: watch::Sender::new(0),
        }
    }

    /// Moves AWSCURRENT to a new version.
    pub fn put(&self, version: &str, user: &str, port: u16) {
        *self.current.lock() = content(version, user, port);
        self.changes.send_modify(|n| *n += 1);
    }
}

fn content(version: &str, user: &str, port: u16) -> (VersionId, String) {
    let value = format!(
        r#"{{"username":"{user}","password":"p","host":"127.0.0.1","port":{port},"dbname":"d"}}"#
    );
    (VersionId::new(version), value)
}

fn never<T: Send + 'static>() -> StoreFuture<'static, T> {
    Box::pin(async { Err(StoreError::Internal("not in this test".to_owned())) })
}

impl Source for Store {
    fn get<'a>(&'a self, id: &'a SecretId, which: &'a Which) -> StoreFuture<'a, SecretValue> {
        let (version, value) = self.current.lock().clone();
        let found = *which == Which::current();
        Box::pin(async move {
            if !found {
                return Err(StoreError::NotFound("no such version".to_owned()));
            }
            Ok(SecretValue {
                arn: "arn".into(),
                name: id.as_str().into(),
                version,
                stages: vec![AWSCURRENT.to_owned()],
                created: Some(SystemTime::now()),
                value: Zeroizing::new(value),
            })
        })
    }

    fn describe<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Description> {
        let (version, _) = self.current.lock().clone();
        Box::pin(async move {
            Ok(Description {
                rotation: None,
                arn: "arn".into(),
                name: id.as_str().into(),
                description: None,
                created: None,
                last_changed: None,
                deleted: None,
                versions: [(version, vec![AWSCURRENT.to_owned()])].into(),
            })
        })
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(self.changes.subscribe())
    }

    fn list(&self) -> StoreFuture<'_, Vec<Description>> {
        never()
    }
}
