//! What a secret's name says: which engine has it, and where.

use crate::secret::{SecretId, StoreError};

/// A path of the API, below `/v1/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Path {
    /// A secret of the key/value engine, version 2.
    Kv { mount: String, name: String },
    /// A role of the database engine whose password Vault rotates.
    Static { path: String },
    /// A role of the database engine that makes a user for each lease.
    Dynamic { path: String },
}

impl Path {
    pub fn parse(id: &SecretId) -> Result<Self, StoreError> {
        let text = id.within().trim_matches('/');
        let plain = |c: char| !c.is_control() && !c.is_whitespace() && !"?#%\\".contains(c);
        let parts: Vec<&str> = text.split('/').collect();
        let odd = |part: &&str| part.is_empty() || *part == "." || *part == "..";
        if text.is_empty() || !text.chars().all(plain) || parts.iter().any(odd) {
            return Err(unknown(id));
        }
        let kind = parts.iter().skip(1).position(|p| ENGINES.contains(p));
        let at = kind.map(|at| at + 1).ok_or_else(|| unknown(id))?;
        let (mount, rest) = (
            parts[..at].join("/"),
            parts.get(at + 1..).unwrap_or_default(),
        );
        let path = text.to_owned();
        match (parts[at], rest) {
            ("data", [_, ..]) => Ok(Self::Kv {
                mount,
                name: rest.join("/"),
            }),
            ("static-creds", [_]) => Ok(Self::Static { path }),
            ("creds", [_]) => Ok(Self::Dynamic { path }),
            _ => Err(unknown(id)),
        }
    }
}

const ENGINES: [&str; 3] = ["data", "static-creds", "creds"];

fn unknown(id: &SecretId) -> StoreError {
    StoreError::InvalidParameter(format!(
        "{:?} is no path of a credential in Vault; write MOUNT/data/PATH (key/value, version 2), \
         MOUNT/static-creds/ROLE or MOUNT/creds/ROLE (database)",
        id.within()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_which_engine_it_is() {
        let of = |text: &str| Path::parse(&SecretId::new(text));
        let kv = |mount: &str, name: &str| Path::Kv {
            mount: mount.into(),
            name: name.into(),
        };
        assert_eq!(of("secret/data/orders").unwrap(), kv("secret", "orders"));
        assert_eq!(
            of("/team/kv/data/prod/data/a").unwrap(),
            kv("team/kv", "prod/data/a")
        );
        for (text, path) in [
            (
                "database/static-creds/orders",
                Path::Static {
                    path: "database/static-creds/orders".into(),
                },
            ),
            (
                "a/b/creds/orders",
                Path::Dynamic {
                    path: "a/b/creds/orders".into(),
                },
            ),
        ] {
            assert_eq!(of(text).unwrap(), path);
        }
        for text in [
            "",
            "orders",
            "secret/orders",
            "data/a",
            "secret/data",
            "secret/data/",
            "database/creds",
            "database/creds/a/b",
            "secret/data/../sys",
            "secret/data/a?version=1",
            "secret/data/a b",
            "secret//data/a",
            "secret/data/%2e%2e/sys",
        ] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
