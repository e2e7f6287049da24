//! How often the store is asked, counted at its door.

use std::collections::BTreeMap;

use aws_sdk_secretsmanager::config::http::{HttpRequest, HttpResponse};
use aws_sdk_secretsmanager::config::{HttpClient, RuntimeComponents};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::http::StatusCode;
use futures_util::future::join_all;
use zeroize::Zeroizing;

use super::*;
use crate::metrics::Metrics;
use crate::secret::{AWSCURRENT, AwsStore, Follower, NewSecret, SecretStore};
use crate::vault::Vault;
use crate::vault::api::{Api, Trail};
use crate::vault::embedded::{InProcess, client};

/// The embedded store, with a count of what it is asked.
#[derive(Clone, Debug)]
struct Door {
    store: InProcess,
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
    forbids: &'static str,
}

impl Door {
    async fn open(directory: &std::path::Path, forbids: &'static str) -> Self {
        let path = |name: &str| directory.join(name);
        let vault = Vault::open(&path("db"), &path("key")).await.unwrap();
        Self {
            store: InProcess(Api::new(vault, Trail::default())),
            asked: Arc::default(),
            forbids,
        }
    }

    fn asked(&self, operation: &str) -> usize {
        let asked = self.asked.lock();
        asked.get(operation).copied().unwrap_or(0)
    }

    /// Without a counter of changes, as AWS is.
    fn client(&self, window: Duration) -> AwsStore {
        AwsStore::new(client(self.clone()), None).asking_together_within(window)
    }
}

impl HttpClient for Door {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Door {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let forbidden = operation == self.forbids;
        *self.asked.lock().entry(operation).or_default() += 1;
        if forbidden {
            let body = r#"{"__type":"AccessDeniedException","Message":"no"}"#;
            let status = StatusCode::try_from(400).unwrap();
            let response = HttpResponse::new(status, body.into());
            return HttpConnectorFuture::new(async move { Ok(response) });
        }
        self.store.call(request)
    }
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
    let door = Door::open(directory.path(), "").await;
    let store = door.client(Duration::from_millis(50));
    let secrets = secrets(&store, 45).await;
    let found = join_all(secrets.iter().map(|(id, _)| store.current(id))).await;
    for (found, (_, version)) in found.iter().zip(&secrets) {
        assert_eq!(found.as_ref(), Some(version));
    }
    assert_eq!(door.asked("BatchGetSecretValue"), 3);
    assert_eq!(door.asked("DescribeSecret"), 0);

    // By ARN; and what does not exist does not spoil it for the others.
    let arn = store.describe(&secrets[0].0).await.unwrap().arn;
    let (arn, gone) = (SecretId::new(arn), SecretId::new("gone"));
    let (found, missing) = tokio::join!(store.current(&arn), store.current(&gone));
    assert_eq!((found.as_ref(), missing), (Some(&secrets[0].1), None));
    // One by itself is not worth a value on the wire.
    assert_eq!(store.current(&arn).await, None);
    assert_eq!(door.asked("BatchGetSecretValue"), 4);
}

#[tokio::test]
async fn what_is_forbidden_is_asked_once() {
    let directory = tempfile::tempdir().unwrap();
    let door = Door::open(directory.path(), "BatchGetSecretValue").await;
    let store = door.client(Duration::from_millis(20));
    let secrets = secrets(&store, 3).await;
    for _ in 0..3 {
        let found = join_all(secrets.iter().map(|(id, _)| store.current(id))).await;
        assert!(found.iter().all(Option::is_none));
    }
    assert_eq!(door.asked("BatchGetSecretValue"), 1);
}

/// Followers of many secrets ask together, and notice a new version so.
#[tokio::test]
async fn followers_ask_together() {
    let directory = tempfile::tempdir().unwrap();
    let door = Door::open(directory.path(), "").await;
    let store: Arc<dyn SecretStore> = Arc::new(door.client(Duration::from_millis(200)));
    let secrets = secrets(&door.client(Duration::ZERO), 10).await;
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
        panic!("did not happen: {:?}", door.asked);
    };
    until(&|| followers.iter().all(|f| f.known().current.is_some())).await;
    until(&|| door.asked("BatchGetSecretValue") >= 5).await;
    // Each was described when it was first seen, and now and then when it was
    // alone; ten looks for each would be a hundred.
    assert!(door.asked("DescribeSecret") < 60, "{:?}", door.asked);

    let put = Zeroizing::new(r#"{"username":"u","password":"q","host":"h"}"#.to_owned());
    let stages = vec![AWSCURRENT.to_owned()];
    let version = store.put(&secrets[3].0, put, stages, None).await.unwrap();
    let current = || followers[3].known().current.map(|c| c.version.clone());
    until(&|| current().as_ref() == Some(&version)).await;
}
