//! Drivers and programs as they are installed.

use std::path::PathBuf;

use crate::common::{Cluster, Proxy, new_password};

mod certificate;
mod languages;
mod libpq18;
mod programs;
mod rust;

/// The path of the driver in Debian.
pub const JDBC: &str = "/usr/share/java/postgresql.jar";

/// The path of a driver, `None` if it is not installed. Developers' machines may
/// lack one, and the test then says so; on CI that would be a hole.
pub fn installed(driver: &str, places: &[PathBuf]) -> Option<PathBuf> {
    let found = places.iter().find(|place| place.exists());
    if found.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "{driver} is not installed: scripts/setup.sh"
        );
        eprintln!("NOT TESTED: {driver} is not installed (scripts/setup.sh says why)");
    }
    found.cloned()
}

/// A database in session mode and one in transaction mode, called so. Clients of
/// the former keep their connections, so there are more of them.
async fn every_mode() -> (Cluster, Proxy) {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let mut builder = Proxy::builder().secret("app", &cluster.secret("app_user", &password));
    for mode in ["session", "transaction"] {
        let size = if mode == "session" { 12 } else { 4 };
        let body = format!("secret = \"app\"\npool_mode = \"{mode}\"\npool_size = {size}");
        builder = builder.database(mode, &body);
    }
    let proxy = builder.start().await;
    (cluster, proxy)
}
