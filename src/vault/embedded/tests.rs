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
