//! A PostgreSQL server for stores, each test in a schema of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::{Cluster, new_password};

pub struct Server {
    pub cluster: Cluster,
    directory: TempDir,
}

impl Server {
    /// A cluster with a role that owns the database of the stores.
    pub async fn start() -> Self {
        Self::of(Cluster::start().await).await
    }

    pub async fn of(cluster: Cluster) -> Self {
        let password = new_password();
        cluster.create_role("keeper", &password).await;
        cluster
            .execute("CREATE DATABASE secrets OWNER keeper")
            .await;
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("passwords");
        fs::write(&file, format!("*:*:secrets:keeper:{password}\n")).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
        Self { cluster, directory }
    }

    /// The URL of a store in this schema.
    pub fn url(&self, schema: &str) -> String {
        self.url_at(&format!("127.0.0.1:{}", self.cluster.port), schema)
    }

    pub fn url_at(&self, hosts: &str, schema: &str) -> String {
        let file = self.directory.path().join("passwords");
        format!(
            "postgres://keeper@{hosts}/secrets?schema={schema}&passfile={}",
            file.display()
        )
    }
}
