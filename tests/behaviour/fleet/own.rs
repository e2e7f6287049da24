//! Two replicas with one address are noticed.

use super::{Keys, member};
use crate::common::{Cluster, Proxy, free_port, new_password};
use crate::health::{wait_over, wait_trouble};

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_with_one_number_are_noticed() {
    let (cluster, keys) = (Cluster::start().await, Keys::new());
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let secret = cluster.secret("app_user", &password);
    let ports = [free_port(), free_port()];
    let mut replicas = Vec::new();
    for port in ports {
        let fleet = format!("{}\nreplica = 1", member(&keys.of(1), port, &ports));
        let replica = Proxy::with_one_database(&secret, "").fleet(&fleet);
        replicas.push(replica.start().await);
    }
    // Requests for the second one would go to the first one.
    let trouble = wait_trouble(&replicas[1], "fleet_address").await;
    let sentence = trouble["sentence"].as_str().expect("a sentence");
    let at = format!("another replica answers at 127.0.0.1:{}", ports[0]);
    assert!(sentence.starts_with(&at), "{sentence}");
    let status = replicas[0].status().await.to_string();
    assert!(!status.contains("fleet_address"), "{status}");
    // Alone at the address again, it is none.
    drop(replicas.remove(0));
    let second = &mut replicas[0];
    let text = std::fs::read_to_string(second.config()).expect("the configuration");
    let own = text.replace("replica = 1", "replica = 2");
    std::fs::write(second.config(), own).expect("written");
    second.signal(nix::sys::signal::Signal::SIGTERM);
    second.wait_exit(std::time::Duration::from_secs(20)).await;
    second.run();
    second.wait_ready().await;
    wait_over(second, "fleet_address").await;
}
