//! The keys of `[store]` that are Vault's.

use super::address::host_port;
use super::section::Section;
use super::store::url;
use crate::base::nonempty;
use crate::net::is_loopback;
use crate::secret::{VaultAuth, VaultOptions};

/// The ways to log in to Vault.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Token,
    Kubernetes,
    AppRole,
}

const WAYS: [(&str, Way); 3] = [
    ("token", Way::Token),
    ("kubernetes", Way::Kubernetes),
    ("approle", Way::AppRole),
];

impl Way {
    /// The keys that this way needs, each with an example.
    fn needs(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Token => &[("token_file", "\"/vault/secrets/token\"")],
            Self::Kubernetes => &[("auth_role", "\"pgvalet\"")],
            Self::AppRole => &[
                ("auth_role", "the role_id"),
                ("secret_id_file", "\"/etc/pgvalet/secret-id\""),
            ],
        }
    }
}

/// Where Vault is, and how pgvalet logs in there; `is_meant`: the store is one.
pub(super) fn vault(s: &mut Section<'_, '_>, is_meant: bool, url: Option<&str>) -> VaultOptions {
    let way = s.choice("auth", WAYS);
    let ca = s.path("tls_ca");
    let namespace = s.text("namespace", nonempty);
    let mount = s.text("auth_mount", nonempty);
    let role = s.text("auth_role", nonempty);
    let token_file = s.path("token_file");
    let secret_id_file = s.path("secret_id_file");
    let url = url.map(|url| private_url(url.trim_end_matches('/')));
    if is_meant {
        match &url {
            None => s.wrong("kind = \"vault\" needs the address of Vault; write endpoint_url = \"https://vault.internal:8200\""),
            Some(Err(why)) => s.wrong(format!("endpoint_url: {why}")),
            Some(Ok(_)) => {}
        }
        let given = [
            ("token_file", token_file.is_some()),
            ("auth_role", role.is_some()),
            ("secret_id_file", secret_id_file.is_some()),
        ];
        for (key, example) in way.needs() {
            if given.contains(&(*key, false)) {
                s.wrong(format!(
                    "this way to log in to Vault needs {key}; write {key} = {example}"
                ));
            }
        }
    }
    let role_id = role.unwrap_or_default();
    let auth = match way {
        Way::Token => VaultAuth::TokenFile(token_file.unwrap_or_default()),
        Way::Kubernetes => VaultAuth::Kubernetes {
            mount: mount.unwrap_or_else(|| "kubernetes".to_owned()),
            role: role_id,
            token_file: token_file.unwrap_or_else(|| SERVICE_ACCOUNT.into()),
        },
        Way::AppRole => VaultAuth::AppRole {
            mount: mount.unwrap_or_else(|| "approle".to_owned()),
            role_id,
            secret_id_file: secret_id_file.unwrap_or_default(),
        },
    };
    VaultOptions {
        url: url.and_then(Result::ok).unwrap_or_default(),
        ca,
        namespace,
        auth,
    }
}

/// Where Kubernetes puts the token of a pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// An address that secrets may be fetched from: https, or http on this machine.
pub(super) fn private_url(text: &str) -> Result<String, String> {
    let text = url(text)?;
    let host = text.strip_prefix("http://").map(|rest| {
        let authority = rest.split('/').next().unwrap_or_default();
        let host = host_port(authority).map_or_else(|_| authority.to_owned(), |(host, _)| host);
        host.trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned()
    });
    match host {
        Some(host) if !is_loopback(&host) => Err(format!(
            "{text:?}: anybody on the network in between could read the secrets; use https"
        )),
        _ => Ok(text),
    }
}
