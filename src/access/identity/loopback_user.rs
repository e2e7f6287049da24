//! `loopback_user`: the client connects by TCP over loopback, and its end of the
//! connection belongs to this user. The kernel is asked for it (`loopback/`).

use super::{Condition, Identity, Transport};
use crate::access::{Evidence, UserRef};
use crate::audit::IdentityRef;
use crate::net::Peer;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopbackUser(pub UserRef);

impl Condition for LoopbackUser {
    fn matches(&self, evidence: &Evidence) -> bool {
        evidence.is_over_loopback() && evidence.account.as_ref().is_some_and(|a| a.is(&self.0))
    }

    fn because(&self, evidence: &Evidence) -> String {
        match evidence.is_over_loopback() {
            true => evidence.other_account(&self.0),
            false => "the client does not connect by TCP over loopback".to_owned(),
        }
    }

    fn describe(&self) -> String {
        format!("loopback user {}", self.0)
    }

    fn covers(&self, other: &Identity) -> bool {
        other.loopback_user.as_ref() == Some(self)
    }

    fn transport(&self) -> Option<Transport> {
        Some(Transport::Tcp)
    }
}

pub(super) fn identity(evidence: &Evidence) -> Option<IdentityRef> {
    match evidence.peer {
        Peer::Tcp(_) => Some(evidence.account.as_ref()?.identity()),
        Peer::Unix { .. } => None,
    }
}
