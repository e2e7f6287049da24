//! How often the store is asked, counted in place of the network.

use futures_util::future::join_all;
use zeroize::Zeroizing;

use super::*;
use crate::metrics::Metrics;
use crate::secret::{AWSCURRENT, AwsStore, Follower, Manage, NewSecret, Rotatable, Source};
use crate::vault::Vault;
use crate::vault::api::in_process::InProcess;
use crate::vault::api::{Api, Trail};

async fn open(directory: &std::path::Path, forbidden: &'static str) -> InProcess {
    let path = |name: &str| directory.join(name);
    let vault = Vault::open(&path("db"), &path("key")).await.unwrap();
    InProcess::new(Api::new(vault, Trail::default()), forbidden)
}

/// Without a counter of changes, as AWS is.
fn client(network: &InProcess, window: Duration) -> AwsStore {
    AwsStore::new(network.client()).with_batch_window(window)
}

async fn secrets(store: &AwsStore, count: usize) -> Vec<(SecretId, VersionId)> {
    let made = (0..count).map(|n| async move {
        let name = format!("s/{n}");
        let value = r#"{"username":"u","password":"p","host":"h"}"#.to_owned();
        let new = NewSecret {
            name: name.clone(),
            description: None,
            value: Zeroizing::new(value),
            token: None,
        };
        (SecretId::new(name), store.create(new).await.unwrap())
    });
    join_all(made).await
}

#[tokio::test]
async fn twenty_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let network = open(directory.path(), "").await;
    let store = client(&network, Duration::from_millis(50));
    let secrets = secrets(&store, 45).await;
    let found = join_all(secrets.iter().map(|(id, _)| store.current(id))).await;
    for (found, (_, version)) in found.iter().zip(&secrets) {
        assert_eq!(found.as_ref(), Some(version));
    }
    assert_eq!(network.calls("BatchGetSecretValue"), 3);
    assert_eq!(network.calls("DescribeSecret"), 0);

    // By ARN; and what does not exist does not spoil it for the others.
    let arn = store.describe(&secrets[0].0).await.unwrap().arn;
    let (arn, gone) = (SecretId::new(arn), SecretId::new("gone"));
    let (found, missing) = tokio::join!(store.current(&arn), store.current(&gone));
    assert_eq!((found.as_ref(), missing), (Some(&secrets[0].1), None));
    // One by itself is not worth a value on the wire.
    assert_eq!(store.current(&arn).await, None);
    assert_eq!(network.calls("BatchGetSecretValue"), 4);
}

#[tokio::test]
async fn what_is_forbidden_is_asked_once() {
    let directory = tempfile::tempdir().unwrap();
    let network = open(directory.path(), "BatchGetSecretValue").await;
    let store = client(&network, Duration::from_millis(20));
    let secrets = secrets(&store, 3).await;
    for _ in 0..3 {
        let found = join_all(secrets.iter().map(|(id, _)| store.current(id))).await;
        assert!(found.iter().all(Option::is_none));
    }
    assert_eq!(network.calls("BatchGetSecretValue"), 1);
}

/// Followers of many secrets ask together, and notice a new version so.
#[tokio::test]
async fn followers_ask_together() {
    let directory = tempfile::tempdir().unwrap();
    let network = open(directory.path(), "").await;
    let store: Arc<AwsStore> = Arc::new(client(&network, Duration::from_millis(200)));
    let secrets = secrets(&client(&network, Duration::ZERO), 10).await;
    let metrics = Metrics::new();
    let refresh = Duration::from_millis(200);
    let start = |(id, _): &(SecretId, VersionId)| {
        Follower::start(id.clone(), store.clone(), refresh, &metrics)
    };
    let followers: Vec<_> = secrets.iter().map(start).collect();
    let until = async |done: &dyn Fn() -> bool| {
        for _ in 0..2000 {
            if done() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("did not happen: {:?}", network);
    };
    until(&|| followers.iter().all(|f| f.known().current.is_some())).await;
    until(&|| network.calls("BatchGetSecretValue") >= 5).await;
    // Each was described when it was first seen, and now and then when it was
    // alone; ten looks for each would be a hundred.
    assert!(network.calls("DescribeSecret") < 60, "{:?}", network);

    let put = Zeroizing::new(r#"{"username":"u","password":"q","host":"h"}"#.to_owned());
    let stages = vec![AWSCURRENT.to_owned()];
    let version = store.put(&secrets[3].0, put, stages, None).await.unwrap();
    let current = || followers[3].known().current.map(|c| c.version.clone());
    until(&|| current().as_ref() == Some(&version)).await;
}
