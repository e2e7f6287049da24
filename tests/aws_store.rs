//! The AWS store against moto, and against what is no Secrets Manager.

#[path = "common/moto.rs"]
mod moto;

use std::collections::BTreeMap;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_credential_types::credential_fn::provide_credentials_fn;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_secretsmanager::config::SharedCredentialsProvider;
use moto::{Moto, sdk_config};
use pgvalet::secret::{
    AWSCURRENT, AWSPENDING, AWSPREVIOUS, AwsStore, Deletion, Manage, NewSecret, RandomPassword,
    Rotatable, SecretId, Source, StoreError, VersionId, Which,
};
use zeroize::Zeroizing;

fn new(name: &str, value: &str) -> NewSecret {
    NewSecret {
        name: name.into(),
        description: Some("of a test".into()),
        value: Zeroizing::new(value.into()),
        token: None,
    }
}

async fn value(store: &AwsStore, id: &SecretId, which: &Which) -> Result<String, StoreError> {
    Ok(store.get(id, which).await?.value.to_string())
}

fn stage(label: &str) -> Which {
    Which::Stage(label.into())
}

/// The ARN that the configuration has is that of a secret which was deleted,
/// and another one has its name by now.
#[tokio::test]
async fn a_whole_arn_is_that_of_one_secret() {
    let moto = Moto::start();
    let store = AwsStore::from_config(&moto.sdk_config()).unwrap();
    let name = SecretId::new("prod/orders");
    store.create(new("prod/orders", "one")).await.unwrap();
    let arn = store.describe(&name).await.unwrap().arn;
    let (old, partial) = (SecretId::new(arn.clone()), arn.rsplit_once('-').unwrap().0);
    assert_eq!(value(&store, &old, &Which::current()).await.unwrap(), "one");
    store.delete(&name, Deletion::Now).await.unwrap();
    store.create(new("prod/orders", "two")).await.unwrap();
    let got = value(&store, &old, &Which::current()).await;
    assert!(matches!(got, Err(StoreError::NotFound(_))), "{got:?}");
    let described = store.describe(&old).await;
    assert!(matches!(described, Err(StoreError::NotFound(_))));
    for id in [&name, &SecretId::new(partial)] {
        if let Ok(value) = value(&store, id, &Which::current()).await {
            assert_eq!(value, "two");
        }
    }
}

#[tokio::test]
async fn a_secret_from_creation_through_a_rotation_to_its_end() {
    let moto = Moto::start();
    let store = AwsStore::from_config(&moto.sdk_config()).unwrap();
    let id = SecretId::new("prod/orders");
    let first = store.create(new("prod/orders", "one")).await.unwrap();

    let read = store.get(&id, &Which::current()).await.unwrap();
    assert_eq!(read.value.as_str(), "one");
    assert_eq!((&read.version, &*read.name), (&first, "prod/orders"));
    assert_eq!(read.stages, [AWSCURRENT]);
    assert!(read.created.is_some());
    let arn = SecretId::new(read.arn.clone());
    assert_eq!(value(&store, &arn, &Which::current()).await.unwrap(), "one");

    // A rotation: pending, then promoted.
    let token = VersionId::new("0123456789abcdef0123456789abcdef");
    let second = store
        .put(
            &id,
            Zeroizing::new("two".into()),
            vec![AWSPENDING.into()],
            Some(token.clone()),
        )
        .await
        .unwrap();
    assert_eq!(second, token);
    assert_eq!(value(&store, &id, &stage(AWSPENDING)).await.unwrap(), "two");
    assert_eq!(value(&store, &id, &stage(AWSCURRENT)).await.unwrap(), "one");
    store
        .move_label(&id, AWSCURRENT, Some(second.clone()), Some(first.clone()))
        .await
        .unwrap();
    assert_eq!(value(&store, &id, &stage(AWSCURRENT)).await.unwrap(), "two");
    assert_eq!(
        value(&store, &id, &stage(AWSPREVIOUS)).await.unwrap(),
        "one"
    );
    let by_id = Which::Version(first.clone());
    assert_eq!(value(&store, &id, &by_id).await.unwrap(), "one");

    let description = store.describe(&id).await.unwrap();
    assert_eq!(description.version_with(AWSCURRENT), Some(&second));
    assert_eq!(description.version_with(AWSPREVIOUS), Some(&first));
    assert_eq!(description.description.as_deref(), Some("of a test"));
    assert!(description.deleted.is_none() && description.created.is_some());

    let gone = store
        .delete(&id, Deletion::Window { days: 7 })
        .await
        .unwrap();
    assert!(gone.is_some());
    let refused = store.get(&id, &Which::current()).await.err().unwrap();
    assert!(
        matches!(refused, StoreError::InvalidRequest(_)),
        "{refused}"
    );
    store.restore(&id).await.unwrap();
    assert_eq!(value(&store, &id, &Which::current()).await.unwrap(), "two");
    store.delete(&id, Deletion::Now).await.unwrap();
    let refused = store.describe(&id).await.unwrap_err();
    assert!(matches!(refused, StoreError::NotFound(_)), "{refused}");
}

#[tokio::test]
async fn without_stages_a_new_version_is_the_current_one() {
    let moto = Moto::start();
    let store = AwsStore::from_config(&moto.sdk_config()).unwrap();
    let id = SecretId::new("a");
    let first = store.create(new("a", "one")).await.unwrap();
    let put = store.put(&id, Zeroizing::new("two".into()), vec![], None);
    let second = put.await.unwrap();
    let description = store.describe(&id).await.unwrap();
    assert_eq!(description.version_with(AWSCURRENT), Some(&second));
    assert_eq!(description.version_with(AWSPREVIOUS), Some(&first));
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_what_is_exists() {
    let moto = Moto::start();
    let store = AwsStore::from_config(&moto.sdk_config()).unwrap();
    let missing = SecretId::new("no/such");
    let refused = store.get(&missing, &Which::current()).await.err().unwrap();
    assert!(matches!(&refused, StoreError::NotFound(text) if text.starts_with("no/such: ")));
    let refused = store.describe(&missing).await.unwrap_err();
    assert!(matches!(refused, StoreError::NotFound(_)), "{refused}");

    store.create(new("a", "one")).await.unwrap();
    let id = SecretId::new("a");
    let refused = store.get(&id, &stage(AWSPENDING)).await.err().unwrap();
    assert!(matches!(refused, StoreError::NotFound(_)), "{refused}");
    let refused = store.create(new("a", "two")).await.unwrap_err();
    assert!(matches!(refused, StoreError::Exists(_)), "{refused}");
    assert!(!refused.is_transient());
}

#[tokio::test]
async fn all_pages_are_listed_by_name() {
    let moto = Moto::start();
    let store = AwsStore::from_config(&moto.sdk_config()).unwrap();
    // More than a page of the API, which has a hundred.
    for n in (0..120).rev() {
        store.create(new(&format!("s{n:03}"), "v")).await.unwrap();
    }
    let listed = store.list().await.unwrap();
    let names: Vec<String> = listed.iter().map(|s| s.name.to_string()).collect();
    let expected: Vec<String> = (0..120).map(|n| format!("s{n:03}")).collect();
    assert_eq!(names, expected);
    assert!(listed.iter().all(|s| s.version_with(AWSCURRENT).is_some()));
}

#[tokio::test]
async fn random_passwords_obey_their_options() {
    let moto = Moto::start();
    let store = AwsStore::from_config(&moto.sdk_config()).unwrap();
    let options = RandomPassword {
        length: 40,
        exclude_punctuation: true,
        exclude_characters: "abc".into(),
        ..Default::default()
    };
    let password = store.random_password(options).await.unwrap();
    assert_eq!(password.len(), 40);
    assert!(
        password
            .chars()
            .all(|c| c.is_ascii_alphanumeric() && !"abc".contains(c))
    );
}

#[tokio::test]
async fn a_store_that_is_not_there_is_unavailable() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let store = AwsStore::from_config(&sdk_config(&format!("http://127.0.0.1:{port}"))).unwrap();
    let refused = store.list().await.unwrap_err();
    assert!(refused.is_transient());
    assert!(
        refused.to_string().contains("cannot be reached"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_unavailable() {
    // Connects, because the kernel accepts for it, and then hears nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_millis(200))
        .build();
    let config = sdk_config(&url)
        .into_builder()
        .timeout_config(timeouts)
        .build();
    let store = AwsStore::from_config(&config).unwrap();
    let refused = store.list().await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)));
    assert!(
        refused.to_string().contains("did not answer in time"),
        "{refused}"
    );
}

#[tokio::test]
async fn without_credentials_it_says_so() {
    let nothing = provide_credentials_fn(async || {
        Err(CredentialsError::not_loaded("no profile\nand no role"))
    });
    let mut builder = sdk_config("http://127.0.0.1:9").into_builder();
    builder.set_credentials_provider(Some(SharedCredentialsProvider::new(nothing)));
    let store = AwsStore::from_config(&builder.build()).unwrap();
    let refused = store.list().await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    let text = refused.to_string();
    assert!(text.contains("no usable AWS credentials"), "{text}");
    assert!(text.contains("no profile and no role"), "{text}");
}

#[tokio::test]
async fn without_a_region_it_says_so() {
    let mut builder = sdk_config("http://127.0.0.1:9").into_builder();
    builder.set_region(None::<aws_config::Region>);
    let refused = AwsStore::from_config(&builder.build()).err().unwrap();
    assert!(refused.to_string().contains("AWS_REGION"), "{refused}");
}

#[tokio::test]
async fn an_endpoint_that_is_no_url_is_refused_at_once() {
    for url in ["not a url", "localhost:4566", "ftp://host", ""] {
        let refused = AwsStore::from_config(&sdk_config(url)).err().unwrap();
        assert!(refused.to_string().contains("endpoint_url"), "{refused}");
    }
}

/// The SDK's own texts quote the request where it cannot be made ready.
#[tokio::test]
async fn no_error_quotes_a_value() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    for url in [
        url.as_str(),
        "http://[::1",
        "http://host:99999",
        "http://a b/",
    ] {
        let Ok(store) = AwsStore::from_config(&sdk_config(url)) else {
            continue;
        };
        let refused = store.create(new("a", "hunter2")).await.unwrap_err();
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
        assert!(!format!("{refused:?}").contains("hunter2"), "{refused}");
    }
}

/// Makes equal calls on both stores, which have to end in equal states: what the
/// proxy relies on is not an accident of one of them.
#[tokio::test]
async fn the_embedded_store_ends_where_this_one_does() {
    async fn play(store: &(impl Rotatable + Manage)) -> BTreeMap<&'static str, String> {
        let id = SecretId::new("s");
        let put = |value: &str, label: &str| {
            store.put(&id, Zeroizing::new(value.into()), vec![label.into()], None)
        };
        // Promotion comes last: after it moto puts AWSCURRENT on two versions.
        store.create(new("s", "one")).await.unwrap();
        let two = put("two", AWSCURRENT).await.unwrap();
        put("blue", "blue").await.unwrap();
        let three = put("three", AWSPENDING).await.unwrap();
        store
            .move_label(&id, AWSCURRENT, Some(three), Some(two))
            .await
            .unwrap();
        let mut state = BTreeMap::new();
        for label in [AWSCURRENT, AWSPREVIOUS, "blue"] {
            let read = store.get(&id, &stage(label)).await.unwrap();
            state.insert(label, read.value.to_string());
        }
        state
    }
    let moto = Moto::start();
    let aws = AwsStore::from_config(&moto.sdk_config()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let embedded = pgvalet::vault::EmbeddedStore::open(
        &directory.path().join("store.db"),
        &directory.path().join("store.key"),
    )
    .await
    .unwrap();
    assert_eq!(play(&aws).await, play(&embedded).await);
}
