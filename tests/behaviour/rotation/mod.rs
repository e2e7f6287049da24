//! A password changes, and no client notices.

use std::time::Duration;

use crate::common::{Cluster, Proxy, new_password};

mod at_length;
mod files;
mod migration;
mod read_only;
mod script;
mod trouble;
mod under_load;
mod vault;
mod windows;

/// Rotates once, the label first or the password first, with a gap between in
/// which the two disagree. Returns the new version and the database's time just
/// before its password changed.
async fn rotate(cluster: &Cluster, proxy: &Proxy, label_first: bool) -> (String, String) {
    let gap = Duration::from_millis(300);
    let password = new_password();
    let value = cluster.secret("app_user", &password);
    let admin = cluster.superuser().await;
    if label_first {
        let version = proxy.secret_put("app", &value).await;
        tokio::time::sleep(gap).await;
        let before = admin.value("select clock_timestamp()").await;
        cluster.alter_password("app_user", &password).await;
        (version, before)
    } else {
        let before = admin.value("select clock_timestamp()").await;
        cluster.alter_password("app_user", &password).await;
        tokio::time::sleep(gap).await;
        (proxy.secret_put("app", &value).await, before)
    }
}
