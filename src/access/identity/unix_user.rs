//! `unix_user`: the client connects by a unix socket, and its process runs as
//! this user. The kernel says so (SO_PEERCRED, unix(7)).

use super::{Condition, Identity, Transport};
use crate::access::{Evidence, UserRef};
use crate::audit::IdentityRef;
use crate::net::Peer;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixUser(pub UserRef);

impl Condition for UnixUser {
    fn matches(&self, evidence: &Evidence) -> bool {
        is_unix(evidence) && evidence.account.as_ref().is_some_and(|a| a.is(&self.0))
    }

    fn because(&self, evidence: &Evidence) -> String {
        match is_unix(evidence) {
            true => evidence.other_account(&self.0),
            false => "the client does not connect by a unix socket".to_owned(),
        }
    }

    fn describe(&self) -> String {
        format!("unix user {}", self.0)
    }

    fn covers(&self, other: &Identity) -> bool {
        other.unix_user.as_ref() == Some(self)
    }

    fn transport(&self) -> Option<Transport> {
        Some(Transport::Unix)
    }
}

fn is_unix(evidence: &Evidence) -> bool {
    matches!(evidence.peer, Peer::Unix { .. })
}

pub(super) fn identity(evidence: &Evidence) -> Option<IdentityRef> {
    let Peer::Unix { uid, .. } = evidence.peer else {
        return None;
    };
    let account = evidence.account.as_ref();
    Some(match account {
        Some(account) => account.identity(),
        // The system was not asked, or the uid says nothing about who it is.
        None => IdentityRef {
            subject: uid.to_string().into(),
            uid: Some(uid),
            ..IdentityRef::default()
        },
    })
}
