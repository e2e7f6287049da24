//! `[store]`: where secrets are.

mod aws;
mod embedded;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::section::Section;
use super::vault::vault;
use crate::base::nonempty;
use crate::secret::{VaultAuth, VaultOptions};
use crate::vault::api::StoreListen;
use crate::vault::{KeySource, Location, ServerUrl};
use aws::agent;
pub(super) use aws::url;
use embedded::{listen, master_key};

/// `[store]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Store {
    pub kind: StoreKind,
    /// How often a secret's version is looked up.
    pub refresh: Duration,
    /// Where the embedded store's API is served; `None`: nowhere.
    pub listen: Option<StoreListen>,
}

/// Which store keeps the secrets.
#[derive(Debug, Clone, PartialEq)]
pub enum StoreKind {
    Embedded {
        path: Location,
        key: KeySource,
        /// A `[database]` may be the one that a store on PostgreSQL is in.
        allow_own_database: bool,
    },
    Aws {
        region: Option<String>,
        endpoint_url: Option<String>,
        profile: Option<String>,
    },
    Files {
        path: PathBuf,
        /// The key from which the ids of versions are made.
        key: KeySource,
    },
    /// The AWS Secrets Manager Agent of this machine.
    Agent { url: String, token_file: PathBuf },
    Vault {
        options: VaultOptions,
        /// The key from which the ids of versions are made.
        key: KeySource,
    },
}

impl StoreKind {
    /// The kind as the configuration writes it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Embedded { .. } => "embedded",
            Self::Aws { .. } | Self::Agent { .. } => "aws",
            Self::Vault { .. } => "vault",
            Self::Files { .. } => "files",
        }
    }

    /// Whether pgvalet can only read secrets there, and neither make nor rotate them.
    pub fn is_only_read(&self) -> bool {
        matches!(
            self,
            Self::Files { .. } | Self::Agent { .. } | Self::Vault { .. }
        )
    }

    /// The database that no `[database]` may be: that of a store on PostgreSQL, from which
    /// its own password would be needed to read its own password.
    pub fn own_database(&self) -> Option<&Arc<ServerUrl>> {
        match self {
            Self::Embedded {
                path,
                allow_own_database: false,
                ..
            } => path.server(),
            _ => None,
        }
    }

    /// What has to be there before the store can be read, each with its key.
    pub fn needs(&self) -> Vec<(&'static str, Needed<'_>)> {
        match self {
            Self::Files { path, .. } => vec![("path", Needed::Directory(path))],
            Self::Agent { token_file, .. } => vec![("agent_token_file", Needed::File(token_file))],
            Self::Vault { options, .. } => {
                let ca = options.ca.as_deref();
                let ca = ca.map(|ca| ("tls_ca", Needed::Certificates(ca)));
                let (key, file) = match &options.auth {
                    VaultAuth::TokenFile(file) => ("token_file", file),
                    VaultAuth::Kubernetes { token_file, .. } => ("token_file", token_file),
                    VaultAuth::AppRole { secret_id_file, .. } => ("secret_id_file", secret_id_file),
                };
                ca.into_iter().chain([(key, Needed::File(file))]).collect()
            }
            Self::Embedded { .. } | Self::Aws { .. } => Vec::new(),
        }
    }

    /// The place and the master key of the embedded store, if it is this one.
    pub fn embedded(&self) -> Option<(&Location, &KeySource)> {
        match self {
            Self::Embedded { path, key, .. } => Some((path, key)),
            _ => None,
        }
    }
}

/// What a store has to find, since somebody else makes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Needed<'a> {
    Directory(&'a Path),
    File(&'a Path),
    Certificates(&'a Path),
}

/// Says in words which store it is.
impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded { path, key, .. } => write!(f, "embedded, {path}, {key}"),
            Self::Files { path, .. } => write!(f, "files below {}", path.display()),
            Self::Agent { url, .. } => write!(f, "AWS Secrets Manager Agent, {url}"),
            Self::Vault { options, .. } => write!(f, "Vault, {}", options.url),
            Self::Aws {
                region,
                endpoint_url,
                profile,
            } => {
                // Left out, each is what the SDK finds.
                let [region, profile, endpoint] = [region, profile, endpoint_url]
                    .map(|value| value.as_deref().unwrap_or("default"));
                write!(
                    f,
                    "AWS Secrets Manager, region {region}, profile {profile}, endpoint {endpoint}"
                )
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Embedded,
    Aws,
    Files,
    Vault,
}

const KINDS: [(&str, Kind); 4] = [
    ("embedded", Kind::Embedded),
    ("aws", Kind::Aws),
    ("files", Kind::Files),
    ("vault", Kind::Vault),
];

/// Which kinds of store a key belongs to.
const KEYS: [(&str, &[Kind]); 19] = [
    ("path", &[Kind::Embedded, Kind::Files]),
    ("key_file", &[Kind::Embedded, Kind::Files, Kind::Vault]),
    ("key", &[Kind::Embedded, Kind::Files, Kind::Vault]),
    ("allow_own_database", &[Kind::Embedded]),
    ("address", &[Kind::Embedded]),
    ("tls_certificate", &[Kind::Embedded]),
    ("tls_key", &[Kind::Embedded]),
    ("region", &[Kind::Aws]),
    ("endpoint_url", &[Kind::Aws, Kind::Vault]),
    ("profile", &[Kind::Aws]),
    ("agent", &[Kind::Aws]),
    ("agent_token_file", &[Kind::Aws]),
    ("tls_ca", &[Kind::Vault]),
    ("namespace", &[Kind::Vault]),
    ("auth", &[Kind::Vault]),
    ("auth_mount", &[Kind::Vault]),
    ("auth_role", &[Kind::Vault]),
    ("token_file", &[Kind::Vault]),
    ("secret_id_file", &[Kind::Vault]),
];

pub(super) fn store(mut s: Section<'_, '_>) -> Store {
    let kind = s.choice("kind", KINDS);
    keys_fit(&s, kind);
    let store = Store {
        kind: kind_of_store(&mut s, kind),
        // AWS counts and throttles every look-up, so that it cannot be arbitrarily short.
        refresh: s.duration("refresh"),
        listen: listen(&mut s),
    };
    s.finish();
    store
}

/// The keys that say where the store is, and how to get into it.
fn kind_of_store(s: &mut Section<'_, '_>, kind: Kind) -> StoreKind {
    let (path, allow_own_database) = place(s, kind);
    let key = master_key(s);
    let region = s.text("region", nonempty);
    let endpoint_url = s.text("endpoint_url", url);
    let profile = s.text("profile", nonempty);
    let agent = agent(s);
    let vault = vault(s, kind == Kind::Vault, endpoint_url.as_deref());
    match kind {
        Kind::Vault => StoreKind::Vault {
            options: vault,
            key,
        },
        Kind::Aws if agent.is_some() => {
            if region.is_some() || endpoint_url.is_some() || profile.is_some() {
                s.wrong("the agent has a region and credentials of its own; remove region, endpoint_url and profile, or agent");
            }
            let (url, token_file) = agent.unwrap_or_default();
            StoreKind::Agent { url, token_file }
        }
        Kind::Embedded => StoreKind::Embedded {
            path,
            key,
            allow_own_database,
        },
        Kind::Files => StoreKind::Files {
            path: path.file().map(Path::to_owned).unwrap_or_default(),
            key,
        },
        Kind::Aws => StoreKind::Aws {
            region,
            endpoint_url,
            profile,
        },
    }
}

/// Where the store is, and whether a `[database]` may be in the same place.
fn place(s: &mut Section<'_, '_>, kind: Kind) -> (Location, bool) {
    if kind == Kind::Files && !s.has("path") {
        s.wrong(
            "kind = \"files\" needs the directory of the secrets; write path = \"/etc/pgvalet/secrets\"",
        );
    }
    let resolve = s.resolve("path");
    let path = s.text("path", |text| match kind {
        Kind::Embedded => nonempty(text).and_then(|text| Location::parse(&text, &resolve)),
        _ => nonempty(text).map(|text| Location::File(resolve(&text))),
    });
    let path = path.unwrap_or_else(|| Location::File(PathBuf::new()));
    let allow_own_database = s.boolean("allow_own_database");
    if allow_own_database && path.server().is_none() {
        s.wrong("allow_own_database is for a store on PostgreSQL; write path = \"postgres://…\" or remove it");
    }
    (path, allow_own_database)
}

/// Keys of another kind of store would change nothing, so that they are a mistake.
fn keys_fit(s: &Section<'_, '_>, kind: Kind) {
    for (key, kinds) in KEYS {
        if kinds.contains(&kind) || !s.has(key) {
            continue;
        }
        let named = KINDS.iter().filter(|(_, kind)| kinds.contains(kind));
        let named: Vec<_> = named
            .map(|(name, _)| format!("kind = \"{name}\""))
            .collect();
        s.wrong(format!(
            "{key} belongs to another kind of store; remove it or write {}",
            named.join(" or ")
        ));
    }
}
