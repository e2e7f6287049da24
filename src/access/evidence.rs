//! What is known of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use nix::unistd::{Uid, User};

use super::token::{Verified, satisfies};
use crate::audit::IdentityRef;
use crate::config::{Client, UserRef};
use crate::net::Peer;

/// Everything that rules may ask about a connection. What is not known is not
/// there, and a rule that asks for it does not match.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The other end of the connection.
    pub peer: Peer,
    /// The account at the other end, where the kernel knows it.
    pub account: Option<Account>,
    /// What issuers of the rules vouch for, of a token that the client
    /// presented.
    pub tokens: Vec<Verified>,
}

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub uid: u32,
    pub gid: Option<u32>,
    pub pid: Option<i32>,
    /// What the system calls the uid; `None` where it has no name for it.
    pub name: Option<Arc<str>>,
    /// The program of the process, for the record only: a pid may have gone to
    /// another process by the time it is looked at.
    pub exe: Option<Arc<str>>,
}

impl Account {
    /// Asks the name service, which can block.
    pub fn of(uid: u32) -> Self {
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        Self {
            uid,
            gid: None,
            pid: None,
            name: user.map(|u| u.name.into()),
            exe: None,
        }
    }

    /// Whether this is the account that a rule names.
    pub fn is(&self, user: &UserRef) -> bool {
        match user {
            UserRef::Uid(uid) => *uid == self.uid,
            UserRef::Name(name) => self.name.as_deref() == Some(name),
        }
    }
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} (uid {})", self.uid),
            None => write!(f, "uid {}", self.uid),
        }
    }
}

impl Evidence {
    /// Asks the system about the peer, which can block.
    pub fn gather(peer: Peer) -> Self {
        let account = match &peer {
            Peer::Unix { uid, gid, pid } => Some(Account {
                gid: Some(*gid),
                pid: *pid,
                exe: pid.and_then(executable),
                ..Account::of(*uid)
            }),
            Peer::Tcp(_) => None,
        };
        Self {
            peer,
            account,
            tokens: Vec::new(),
        }
    }

    /// The address of the client, where it has one.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.peer {
            Peer::Tcp(address) => Some(address),
            Peer::Unix { .. } => None,
        }
    }

    /// How the audit log names the client: by the strongest evidence that the
    /// rule asks for, or that there is where no rule has decided.
    pub fn identity(&self, rule: Option<&Client>) -> IdentityRef {
        let wanted = rule.and_then(|r| r.token.as_ref());
        if let Some(token) = self
            .tokens
            .iter()
            .find(|t| wanted.is_none_or(|w| satisfies(w, t)))
            && (rule.is_none() || wanted.is_some())
        {
            return IdentityRef {
                method: "token".into(),
                subject: token.subject.as_str().into(),
                issuer: Some(token.by.issuer.as_str().into()),
                token_id: token.id.as_deref().map(Into::into),
                ..IdentityRef::default()
            };
        }
        match (&self.peer, &self.account) {
            (Peer::Unix { uid, gid, pid }, account) => IdentityRef {
                method: "unix_user".into(),
                subject: account
                    .as_ref()
                    .and_then(|a| a.name.clone())
                    .unwrap_or_else(|| uid.to_string().into()),
                uid: Some(*uid),
                gid: Some(*gid),
                pid: *pid,
                exe: account.as_ref().and_then(|a| a.exe.clone()),
                ..IdentityRef::default()
            },
            (Peer::Tcp(address), _) => IdentityRef {
                method: "network".into(),
                subject: address.ip().to_string().into(),
                ..IdentityRef::default()
            },
        }
    }
}

/// The program that a process runs, as far as this process may know.
pub fn executable(pid: i32) -> Option<Arc<str>> {
    let path = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    Some(path.to_string_lossy().into())
}
