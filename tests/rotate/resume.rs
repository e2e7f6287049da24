//! Rotations complete what an earlier attempt left.

use super::common::{Cluster, new_password};
use super::scene::Scene;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn with_password(value: &serde_json::Value, password: &str) -> String {
    let mut value = value.clone();
    value["password"] = password.into();
    value.to_string()
}

async fn scene(cluster: Cluster, role: &str) -> Scene {
    Scene::with(cluster, role, "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn from_wherever_it_stopped() {
    // Died after createSecret: the database has the old password.
    let s = scene(Cluster::start().await, "a").await;
    let password = new_password();
    let value = with_password(&s.current(), &password);
    s.put(&value, &["--stage", "AWSPENDING", "--token", TOKEN]);
    assert_eq!(s.rotate_ok(&[]).await, TOKEN);
    assert_eq!(s.current()["password"], password.as_str());
    s.assert_whole().await;

    // Died after ALTER ROLE: only the pending version logs in.
    let s = scene(s.cluster, "b").await;
    let password = new_password();
    let value = with_password(&s.current(), &password);
    s.put(&value, &["--stage", "AWSPENDING", "--token", TOKEN]);
    s.cluster.alter_password("b", &password).await;
    assert_eq!(s.rotate_ok(&[]).await, TOKEN);
    assert_eq!(s.current()["password"], password.as_str());
    s.assert_whole().await;

    // The label moved and the password did not: AWSPREVIOUS logs in.
    let s = scene(s.cluster, "c").await;
    let old = s.current();
    s.put(&with_password(&old, &new_password()), &[]);
    s.rotate_ok(&[]).await;
    s.assert_whole().await;
    assert!(!s.logs_in(&old).await);

    // A change by hand in the midst of it: the password in force is that of a
    // version without a label.
    let s = scene(s.cluster, "e").await;
    let value = with_password(&s.current(), &new_password());
    s.put(&value, &["--stage", "AWSPENDING", "--token", TOKEN]);
    let password = serde_json::from_str::<serde_json::Value>(&value).expect("JSON");
    let password = password["password"].as_str().expect("text").to_owned();
    s.cluster.alter_password("e", &password).await;
    let by_hand = with_password(&s.current(), &new_password());
    s.put(&by_hand, &[]);
    let args = ["secret", "stage", "app", "AWSPENDING", "--to"];
    let current = s.labelled("AWSCURRENT").expect("a current version");
    let more = [current.as_str(), "--from", TOKEN];
    super::common::cli::pgvalet_ok(&s.proxy.config(), &[&args[..], &more].concat(), "");
    let version = s.rotate_ok(&[]).await;
    assert_ne!(version, TOKEN);
    s.assert_whole().await;

    // Nothing logs in, and nothing is changed.
    let s = scene(s.cluster, "d").await;
    s.cluster.alter_password("d", &new_password()).await;
    let before = s.labels();
    let said = s.rotate_fails(&[]).await;
    assert!(
        said.contains("no version of secret \"app\" logs in as \"d\""),
        "{said}"
    );
    assert_eq!(s.labels(), before);
}

/// An attempt begun with two users is completed with two, whatever is asked
/// for now.
#[tokio::test(flavor = "multi_thread")]
async fn in_the_way_in_which_it_was_begun() {
    let s = Scene::new(Cluster::start().await).await;
    s.admin().await;
    let mut value = s.current();
    value["username"] = "app_user_clone".into();
    value["password"] = new_password().into();
    s.put(
        &value.to_string(),
        &["--stage", "AWSPENDING", "--token", TOKEN],
    );
    let said = s.rotate_fails(&[]).await;
    assert!(said.contains("need an admin secret"), "{said}");
    assert_eq!(s.rotate_ok(&["--admin-secret", "admin"]).await, TOKEN);
    assert_eq!(s.current()["username"], "app_user_clone");
    s.assert_whole().await;
}
