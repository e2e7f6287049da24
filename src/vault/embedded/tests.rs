use std::path::Path;

use zeroize::Zeroizing;

use super::*;
use crate::secret::{AWSCURRENT, AWSPREVIOUS, Deletion, NewSecret, Source, VersionId, Which};

async fn open(directory: &Path) -> EmbeddedStore {
    let path = |name: &str| directory.join(name);
    EmbeddedStore::open(&path("store.db"), &path("store.key"))
        .await
        .unwrap()
}

fn text(value: &str) -> Zeroizing<String> {
    Zeroizing::new(value.to_owned())
}

#[tokio::test]
async fn the_store_can_do_everything_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    assert!(store.rotatable().is_ok() && store.manage().is_ok() && store.policies().is_ok());
    assert!(store.requests_rotation());
    assert!(store.changes().is_some());
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_named_with_what_helps() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let refused = async |id: &str| {
        let id = SecretId::new(id);
        store.get(&id, &Which::current()).await.err().unwrap()
    };
    let error = refused("prod/orders").await;
    assert!(matches!(error, StoreError::NotFound(_)));
    let error = error.to_string();
    assert!(error.contains("store.db") && error.contains("secret create prod/orders"));
    // A secret cannot be created with a given ARN.
    let error = refused("arn:aws:secretsmanager:local:000000000000:secret:a-AbCdEf").await;
    assert!(!error.to_string().contains("create"), "{error}");
}

#[tokio::test]
async fn versions_and_labels_are_those_that_were_put() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let new = NewSecret {
        name: "a".to_owned(),
        description: Some("of a test".to_owned()),
        value: text("0"),
        token: None,
    };
    let mut made = vec![store.create(new).await.unwrap()];
    let id = SecretId::new("a");
    for n in 1..120 {
        let put = store.put(&id, text(&n.to_string()), Vec::new(), None).await;
        made.push(put.unwrap());
    }
    made.reverse();
    // More than a page, the newest first.
    assert_eq!(store.versions(&id).await.unwrap(), made);
    let described = store.describe(&id).await.unwrap();
    assert_eq!(described.version_with(AWSCURRENT), Some(&made[0]));
    assert_eq!(described.version_with(AWSPREVIOUS), Some(&made[1]));
    let back = store.move_label(
        &id,
        AWSCURRENT,
        Some(made[1].clone()),
        Some(made[0].clone()),
    );
    back.await.unwrap();
    let current = store.get(&id, &Which::current()).await.unwrap();
    assert_eq!(
        (current.version, current.value),
        (made[1].clone(), text("118"))
    );
    // A token makes the version, and a repeated request is harmless.
    let token = VersionId::new("0123456789abcdef0123456789abcdef");
    for _ in 0..2 {
        let put = store.put(&id, text("x"), Vec::new(), Some(token.clone()));
        assert_eq!(put.await.unwrap(), token);
    }
    store.delete(&id, Deletion::Now).await.unwrap();
    assert!(store.list().await.unwrap().is_empty());
}

/// `/dev/full` is a disk without room: a change whose record does not fit is not made.
#[tokio::test]
async fn a_change_that_cannot_be_recorded_is_not_made() {
    use crate::audit::{Audit, AuditSink, OnAuditFailure, Options};
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let vault = Vault::open(&path("store.db"), &path("store.key"))
        .await
        .unwrap();
    let quiet = EmbeddedStore::new(Api::new(vault.clone(), Trail::default()));
    let full = |on_failure| {
        let options = Options::of(AuditSink::File("/dev/full".into()), on_failure);
        let audit = Audit::open(&options, &crate::metrics::Metrics::new()).unwrap();
        EmbeddedStore::new(Api::new(vault.clone(), Trail::to(audit)))
    };
    let new = |name: &str| NewSecret {
        name: name.to_owned(),
        description: None,
        value: text("1"),
        token: None,
    };
    let denies = full(OnAuditFailure::Deny);
    let refused = denies.create(new("a")).await.unwrap_err();
    assert!(refused.to_string().contains("/dev/full"), "{refused}");
    assert!(quiet.list().await.unwrap().is_empty());
    quiet.create(new("a")).await.unwrap();
    let id = SecretId::new("a");
    let before = quiet.describe(&id).await.unwrap().versions;
    let stages = vec!["AWSPENDING".to_owned()];
    denies.put(&id, text("2"), stages, None).await.unwrap_err();
    assert_eq!(quiet.describe(&id).await.unwrap().versions, before);
    denies.delete(&id, Deletion::Now).await.unwrap_err();
    assert_eq!(quiet.list().await.unwrap().len(), 1);
    // Where the configuration says so, it goes on without a record.
    full(OnAuditFailure::Continue)
        .put(&id, text("2"), Vec::new(), None)
        .await
        .unwrap();
    assert_ne!(quiet.describe(&id).await.unwrap().versions, before);
}

/// A change and its record: one record for each, whatever becomes of the change.
#[tokio::test]
async fn a_change_has_one_record() {
    use crate::audit::{Audit, AuditSink, OnAuditFailure, Options};
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let vault = Vault::open(&path("store.db"), &path("store.key"))
        .await
        .unwrap();
    let options = Options::of(AuditSink::File(path("audit.jsonl")), OnAuditFailure::Deny);
    let audit = Audit::open(&options, &crate::metrics::Metrics::new()).unwrap();
    let store = EmbeddedStore::new(Api::new(vault, Trail::to(audit.clone())));
    let new = || NewSecret {
        name: "a".to_owned(),
        description: None,
        value: text("hunter2hunter2"),
        token: None,
    };
    store.create(new()).await.unwrap();
    store.create(new()).await.unwrap_err();
    audit.close().await;
    let log = std::fs::read_to_string(path("audit.jsonl")).unwrap();
    let outcomes: Vec<bool> = (log.lines())
        .filter(|line| line.contains("store.call"))
        .map(|line| line.contains("\"outcome\":\"success\""))
        .collect();
    assert_eq!(outcomes, [true, false]);
    assert!(!log.contains("hunter2"));
}
