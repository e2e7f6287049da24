//! Where Vault is, and how to log in there.

use std::path::PathBuf;

/// How pgvalet logs in to Vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VaultAuth {
    /// A file with a token, read for each request: Vault Agent replaces it. Where it can be
    /// renewed, pgvalet does so.
    TokenFile(PathBuf),
    /// The service account of a pod (`auth/MOUNT/login`).
    Kubernetes {
        mount: String,
        role: String,
        token_file: PathBuf,
    },
    AppRole {
        mount: String,
        role_id: String,
        secret_id_file: PathBuf,
    },
}

/// Where Vault is, and how to log in there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultOptions {
    /// The address of Vault, without a slash at the end.
    pub url: String,
    /// The CA of `url`, instead of those that the system trusts.
    pub ca: Option<PathBuf>,
    pub namespace: Option<String>,
    pub auth: VaultAuth,
}
