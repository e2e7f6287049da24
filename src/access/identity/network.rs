//! `network`: the client's address is in one of these networks.

use ipnet::IpNet;

use super::{Condition, Identity, Transport};
use crate::access::Evidence;
use crate::audit::IdentityRef;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Networks(pub Vec<IpNet>);

impl Networks {
    fn list(&self, separator: &str) -> String {
        let networks: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        networks.join(separator)
    }
}

impl Condition for Networks {
    fn matches(&self, evidence: &Evidence) -> bool {
        evidence
            .address()
            .is_some_and(|address| self.0.iter().any(|n| n.contains(&address.ip())))
    }

    fn because(&self, evidence: &Evidence) -> String {
        match evidence.address() {
            Some(address) => format!("{} is not in {}", address.ip(), self.list(", ")),
            None => "a client on a unix socket has no address".to_owned(),
        }
    }

    fn describe(&self) -> String {
        format!("network {}", self.list(" or "))
    }

    fn covers(&self, other: &Identity) -> bool {
        let covered = |net: &IpNet| self.0.iter().any(|n| n.contains(net));
        (other.network.as_ref()).is_some_and(|other| other.0.iter().all(covered))
    }

    fn transport(&self) -> Option<Transport> {
        Some(Transport::Tcp)
    }
}

pub(super) fn identity(evidence: &Evidence) -> Option<IdentityRef> {
    Some(IdentityRef {
        subject: evidence.address()?.ip().to_string().into(),
        ..IdentityRef::default()
    })
}
