//! `[store]` and `[audit]`: where secrets are, and where it is recorded who used them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::address::host_port;
use super::section::Section;
use crate::audit::{self, AuditSink, OnAuditFailure, Segments};
use crate::base::{duration, nonempty, size};
use crate::net::is_loopback;
use crate::vault::KeySource;
use crate::vault::api::{StoreListen, StoreTls};

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
        path: PathBuf,
        key: KeySource,
    },
    Aws {
        region: Option<String>,
        endpoint_url: Option<String>,
        profile: Option<String>,
    },
    Files {
        path: PathBuf,
        /// Of the ids of versions.
        key: KeySource,
    },
}

impl StoreKind {
    /// As it is written for `kind`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Embedded { .. } => "embedded",
            Self::Aws { .. } => "aws",
            Self::Files { .. } => "files",
        }
    }

    /// What has to be there before the store can be read, each with its key.
    pub fn needs(&self) -> Vec<(&'static str, Needed<'_>)> {
        match self {
            Self::Files { path, .. } => vec![("path", Needed::Directory(path))],
            Self::Embedded { .. } | Self::Aws { .. } => Vec::new(),
        }
    }

    /// The database file and the master key of the embedded store, if it is this one.
    pub fn embedded(&self) -> Option<(&Path, &KeySource)> {
        match self {
            Self::Embedded { path, key } => Some((path, key)),
            Self::Aws { .. } | Self::Files { .. } => None,
        }
    }
}

/// What a store has to find, since somebody else makes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Needed<'a> {
    Directory(&'a Path),
}

/// In words, for people.
impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded { path, key } => write!(f, "embedded, {}, {key}", path.display()),
            Self::Files { path, .. } => write!(f, "files below {}", path.display()),
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
}

const KINDS: [(&str, Kind); 3] = [
    ("embedded", Kind::Embedded),
    ("aws", Kind::Aws),
    ("files", Kind::Files),
];

/// Which kinds of store a key belongs to.
const KEYS: [(&str, &[Kind]); 9] = [
    ("path", &[Kind::Embedded, Kind::Files]),
    ("key_file", &[Kind::Embedded, Kind::Files]),
    ("key", &[Kind::Embedded, Kind::Files]),
    ("address", &[Kind::Embedded]),
    ("tls_certificate", &[Kind::Embedded]),
    ("tls_key", &[Kind::Embedded]),
    ("region", &[Kind::Aws]),
    ("endpoint_url", &[Kind::Aws]),
    ("profile", &[Kind::Aws]),
];

pub(super) fn store(mut s: Section<'_, '_>) -> Store {
    let kind = s.choice("kind", KINDS);
    keys_fit(&s, kind);
    if kind == Kind::Files && !s.has("path") {
        s.wrong(
            "kind = \"files\" needs the directory of the secrets; write path = \"/etc/pgvalet/secrets\"",
        );
    }
    let path = s.path("path").unwrap_or_default();
    let key = master_key(&mut s);
    let region = s.text("region", nonempty);
    let endpoint_url = s.text("endpoint_url", url);
    let profile = s.text("profile", nonempty);
    let kind = match kind {
        Kind::Embedded => StoreKind::Embedded { path, key },
        Kind::Files => StoreKind::Files { path, key },
        Kind::Aws => StoreKind::Aws {
            region,
            endpoint_url,
            profile,
        },
    };
    let store = Store {
        kind,
        // AWS counts and throttles every look-up, so that it cannot be arbitrarily short.
        refresh: s.duration("refresh"),
        listen: listen(&mut s),
    };
    s.finish();
    store
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

fn url(text: &str) -> Result<String, String> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() => nonempty(text),
        _ => Err(format!(
            "{text:?} is no URL; write it like \"https://secretsmanager.eu-west-1.amazonaws.com\""
        )),
    }
}

/// Where the embedded store is served, if it is.
fn listen(s: &mut Section<'_, '_>) -> Option<StoreListen> {
    let address = s.text("address", |text| {
        host_port(text).map(|(host, _)| (text.to_owned(), host))
    });
    let has_files = s.has("tls_certificate") || s.has("tls_key");
    let pair = s.pair("tls_certificate", "tls_key");
    let Some((address, host)) = address else {
        if has_files {
            s.wrong("tls_certificate is for an address; add address = \"HOST:PORT\" or remove it");
        }
        return None;
    };
    if !has_files && !is_loopback(&host) {
        s.wrong(format!(
            "address {host} can be reached from other machines, so it needs TLS; add tls_certificate = \"FILE\" and tls_key = \"FILE\", or use 127.0.0.1"
        ));
    }
    let tls = pair.map(|(certificate, key)| StoreTls { certificate, key });
    Some(StoreListen { address, tls })
}

/// Where the master key is. Without `key` it is in `key_file`; with `key = "kms:…"`, `key_file`
/// keeps the wrapped key.
fn master_key(s: &mut Section<'_, '_>) -> KeySource {
    let both = s.has("key_file") && s.has("key");
    let file = s.path("key_file").unwrap_or_default();
    let key = s.text("key", |text| KeySource::parse(text, &file));
    if both && !matches!(key, None | Some(KeySource::Kms { .. })) {
        s.wrong("key and key_file both say where the key is; remove one");
    }
    key.unwrap_or(KeySource::File(file))
}

/// A smaller file would be closed every few records.
const SMALLEST_SEGMENT: u64 = 64 << 10;

/// `None`: for ever.
fn keep(text: &str) -> Result<Option<Duration>, String> {
    match text {
        "forever" => Ok(None),
        text => duration::parse(text).map(Some),
    }
}

pub(super) fn audit(mut s: Section<'_, '_>) -> audit::Options {
    let path = s.text("path", nonempty).unwrap_or_default();
    let words = [
        ("deny", OnAuditFailure::Deny),
        ("continue", OnAuditFailure::Continue),
    ];
    let on_failure = s.choice("on_failure", words);
    let checkpoint = s.duration("checkpoint");
    let least = |text: &str| match size::parse(text)? {
        bytes if bytes < SMALLEST_SEGMENT => {
            Err(format!("{text:?} is too small; write at least \"64KiB\""))
        }
        bytes => Ok(bytes),
    };
    let segments = Segments {
        size: s.text("rotate_size", least).unwrap_or_default(),
        age: s.duration("rotate_age"),
        keep: s.text("keep", keep).flatten(),
    };
    s.finish();
    audit::Options {
        sink: AuditSink::parse(&path),
        on_failure,
        checkpoint,
        segments,
    }
}
