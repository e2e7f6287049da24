//! A list of hosts: roles are changed at the primary, and a standby that lags
//! behind decides nothing.

use super::common::{Cluster, Proxy, new_password};
use super::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_of_a_list_is_rotated() {
    let mut cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let standby = cluster.standby().await;
    let secret = cluster.secret("app_user", &password);
    // The first does not answer, and will never.
    let hosts = format!(
        "[\"127.0.0.1:1\", \"127.0.0.1:{}\", \"127.0.0.1:{}\"]",
        standby.port, cluster.port
    );
    // What the clients of this database want is none of the rotator's business.
    let body =
        format!("secret = \"app\"\nhost = {hosts}\ntarget_session_attrs = \"prefer-standby\"");
    let proxy = Proxy::builder().secret("app", &secret);
    let proxy = proxy.database("app", &body).prepare();
    let mut scene = Scene { cluster, proxy };
    // From here on the standby knows the first password only.
    let pause = "select pg_wal_replay_pause()";
    standby.superuser().await.value(pause).await;
    for _ in 0..3 {
        let old = scene.current();
        scene.rotate_ok(&[]).await;
        scene.assert_whole().await;
        assert!(!scene.logs_in(&old).await);
    }

    // Without the primary nothing is changed, and nothing is judged.
    let before = scene.labels();
    scene.cluster.stop();
    let said = scene.rotate_fails(&[]).await;
    assert!(said.contains("cannot reach 127.0.0.1"), "{said}");
    assert_eq!(scene.labels(), before);

    // An attempt that died after ALTER ROLE: the standby refuses its password,
    // the primary takes it.
    scene.cluster.run().await;
    let token = "0123456789abcdef0123456789abcdef";
    let password = new_password();
    let mut value = scene.current();
    value["password"] = password.as_str().into();
    scene.put(
        &value.to_string(),
        &["--stage", "AWSPENDING", "--token", token],
    );
    scene.cluster.alter_password("app_user", &password).await;
    assert_eq!(scene.rotate_ok(&[]).await, token);
    scene.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_standby_is_refused() {
    let mut cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let standby = cluster.standby().await;
    let secret = standby.secret("app_user", &password);
    let proxy = Proxy::with_one_database(&secret, "").prepare();
    let scene = Scene { cluster, proxy };
    let before = scene.labels();
    let said = scene.rotate_fails(&[]).await;
    assert!(said.contains("read-write"), "{said}");
    assert_eq!(scene.labels(), before);
}
