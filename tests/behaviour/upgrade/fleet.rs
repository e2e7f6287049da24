//! One of several replicas is replaced by another process.

use super::scene::Scene;
use crate::common::cancel::send_cancel;
use crate::common::raw::sqlstate;
use crate::common::{Proxy, free_port, new_password};
use crate::fleet::cancel::sleeper;
use crate::fleet::size::{Load, Sampler, share_becomes};
use crate::fleet::{Keys, member};

const V3_2: u32 = 0x0003_0002;

/// A cancel request finds a session that has stayed in the old process, and both processes
/// together keep to the ceiling of all replicas.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_replaced_is_found_and_keeps_to_its_share() {
    let keys = Keys::new();
    let ports = [free_port(), free_port()];
    let fleet = format!("[fleet]\n{}", member(&keys.of(1), ports[0], &ports));
    let mut scene = Scene::start(&fleet, "pool_size = 8\nfleet_size = 4").await;
    let password = new_password();
    scene.cluster.create_role("other_user", &password).await;
    let secret = scene.cluster.secret("other_user", &password);
    let other = Proxy::with_one_database(&secret, "")
        .fleet(&member(&keys.of(1), ports[1], &ports))
        .start()
        .await;
    // The proof of its version counts until it is closed.
    let sampler = {
        share_becomes("a share", &scene.proxy, |share| share >= 1).await;
        Sampler::start(&scene.cluster).await
    };
    let (mut raw, pid, key) = sleeper(&scene.cluster, &scene.proxy, V3_2).await;
    let load = Load::on(&scene.proxy, 6);
    share_becomes("all of it", &scene.proxy, |share| share == 4).await;
    scene.upgrade().await;
    let after = Load::on(&scene.proxy, 6);
    share_becomes("a part of it", &scene.proxy, |share| share >= 1).await;

    // The query that sleeps is in the old process.
    send_cancel(&other, pid, &key).await;
    let end = raw.until(b'Z').await;
    assert_eq!(sqlstate(&end).as_deref(), Some("57014"));
    assert!(load.end().await > 0);
    assert!(after.end().await > 0);
    drop(raw);
    scene.old_ends().await;
    let all = Load::on(&scene.proxy, 6);
    share_becomes("all of it again", &scene.proxy, |share| share == 4).await;
    assert!(all.end().await > 0);
    let most = sampler.end().await;
    assert!(most <= 4, "{most} connections at once");
}
