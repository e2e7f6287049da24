use std::sync::Arc;

use super::*;

/// A store that can be read and nothing else, as a directory of files is.
struct Files;

impl Source for Files {
    fn get<'a>(&'a self, id: &'a SecretId, _: &'a Which) -> StoreFuture<'a, SecretValue> {
        Box::pin(async move { Err(StoreError::NotFound(id.to_string())) })
    }

    fn describe<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Description> {
        Box::pin(async move {
            Ok(Description {
                arn: id.as_str().into(),
                name: id.as_str().into(),
                description: None,
                created: None,
                last_changed: None,
                deleted: None,
                versions: [(VersionId::new("v"), vec![AWSCURRENT.to_owned()])].into(),
                rotation: None,
            })
        })
    }

    fn list(&self) -> StoreFuture<'_, Vec<Description>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

impl SecretStore for Files {
    fn name(&self) -> &'static str {
        "the files store"
    }
}

#[tokio::test]
async fn a_store_says_what_it_cannot_do() {
    let store: Arc<dyn SecretStore> = Arc::new(Files);
    assert!(!store.requests_rotation());
    assert!(store.changes().is_none());
    for refused in [
        store.rotatable().err(),
        store.manage().err(),
        store.policies().err(),
    ] {
        let refused = refused.expect("this store can only be read");
        assert_eq!(refused.kind(), "unsupported");
        assert!(!refused.is_transient());
        assert!(refused.to_string().contains("the files store"), "{refused}");
    }
    // A store that cannot list versions returns the labelled ones, and one that
    // does not answer for many secrets leaves each to be asked for alone.
    let id = SecretId::new("a");
    assert_eq!(
        store.versions(&id).await.ok(),
        Some(vec![VersionId::new("v")])
    );
    assert_eq!(store.current(&id).await, None);
}
