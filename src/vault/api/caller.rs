//! Who calls the API, and from where.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::vault::principals::{ACCOUNT, PolicyText, Principal};

/// A caller who was recognised.
#[derive(Clone)]
pub struct Caller {
    /// pgvalet itself, which holds the key and may do everything.
    pub own: bool,
    pub name: String,
    pub arn: String,
    pub unique_id: String,
    pub policies: Vec<PolicyText>,
    pub tags: BTreeMap<String, String>,
    pub access_key: String,
    pub peer: Peer,
}

/// Where a call came from.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// `None`: from within the process.
    pub address: Option<IpAddr>,
    /// Whether it came over TLS.
    pub secure: bool,
    pub user_agent: Option<String>,
}

impl Caller {
    pub fn own() -> Self {
        Self {
            own: true,
            name: "pgvalet".into(),
            arn: format!("arn:aws:iam::{ACCOUNT}:role/pgvalet"),
            unique_id: "pgvalet".into(),
            policies: Vec::new(),
            tags: BTreeMap::new(),
            access_key: String::new(),
            peer: Peer {
                secure: true,
                ..Peer::default()
            },
        }
    }

    pub fn of(principal: Principal, access_key: String, peer: Peer) -> Self {
        Self {
            own: false,
            arn: principal.arn(),
            name: principal.name,
            unique_id: principal.unique_id,
            policies: principal.policies,
            tags: principal.tags,
            access_key,
            peer,
        }
    }
}
