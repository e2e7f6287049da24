use zeroize::Zeroizing;

use super::look::UNLABELLED;
use super::*;
use crate::metrics::Metrics;
use crate::secret::{AWSCURRENT, Manage, NewSecret, Rotatable, Standing};
use crate::vault::EmbeddedStore;

fn value(n: usize) -> Zeroizing<String> {
    Zeroizing::new(format!(
        r#"{{"username":"u","password":"p{n}","host":"h"}}"#
    ))
}

#[tokio::test]
async fn passwords_of_old_versions_are_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let store = EmbeddedStore::open(&path("db"), &path("key"))
        .await
        .unwrap();
    let store = Arc::new(store);
    let secret = SecretId::new("s");
    let new = NewSecret {
        name: "s".to_owned(),
        description: None,
        value: value(0),
        token: None,
    };
    store.create(new).await.unwrap();
    let (minute, metrics) = (Duration::from_secs(60), Metrics::new());
    let follower = Follower::start(secret.clone(), store.clone(), minute, &metrics);
    for n in 1..10 {
        let stages = vec![AWSCURRENT.to_owned()];
        let put = store.put(&secret, value(n), stages, None).await;
        follower.look(Depth::Labelled).await;
        let known = follower.known().current;
        assert_eq!(known.map(|c| c.version.clone()), put.ok());
    }
    // AWSCURRENT and AWSPREVIOUS.
    assert_eq!(follower.versions.lock().len(), 2);
    let found = follower.look(Depth::All).await.others;
    let unlabelled = found.iter().filter(|(s, _)| *s == Standing::Unlabelled);
    let passwords: Vec<&str> = unlabelled.map(|(_, c)| c.password.reveal()).collect();
    assert_eq!(passwords.len(), UNLABELLED);
    assert!(!passwords.contains(&"p9") && !passwords.contains(&"p8"));
}
