//! What is known of a connection.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use nix::unistd::{Uid, User};

use super::aws_iam::Caller;
use super::token::Verified;
use super::{Certificate, loopback};
use crate::access::UserRef;
use crate::audit::IdentityRef;
use crate::net::Peer;

/// Everything that rules may ask about a connection. What is not known is not
/// there, and a rule that asks for it does not match.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The other end of the connection, or what a load balancer that is
    /// believed says about it.
    pub peer: Peer,
    /// That load balancer.
    pub via: Option<SocketAddr>,
    /// This end of a connection that nobody stands in between.
    pub local: Option<SocketAddr>,
    /// The account at the other end, where the kernel knows it.
    pub account: Option<Account>,
    /// What it has shown, and proved to be its own.
    pub certificate: Option<Arc<Certificate>>,
    /// What issuers of the rules vouch for, of a token that the client
    /// presented.
    pub tokens: Vec<Verified>,
    /// Who STS says it is.
    pub aws: Option<Caller>,
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

/// The uid by which a user namespace sees everybody whom it has no number for
/// (user_namespaces(7)); usually it is that of `nobody`. Where there can be such
/// users it says nothing about who somebody is.
fn overflow() -> Option<u32> {
    static OVERFLOW: LazyLock<Option<u32>> = LazyLock::new(|| {
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let uid = std::fs::read_to_string("/proc/sys/kernel/overflowuid").unwrap_or_default();
        overflow_of(&map, &uid)
    });
    *OVERFLOW
}

fn overflow_of(map: &str, uid: &str) -> Option<u32> {
    let numbers = map.split_ascii_whitespace().map(str::parse::<u32>);
    let all = [Ok(0), Ok(0), Ok(u32::MAX)];
    match map.trim().is_empty() || numbers.eq(all) {
        // No namespaces, or the first of them, in which everybody has a number.
        true => None,
        false => uid.trim().parse().ok(),
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
    /// What is known without asking anybody.
    pub fn new(peer: Peer) -> Self {
        Self {
            peer,
            via: None,
            local: None,
            account: None,
            certificate: None,
            tokens: Vec::new(),
            aws: None,
        }
    }

    /// A load balancer has said who is behind it. Whose the socket is that it
    /// came by says nothing about the client.
    pub fn is_proxied_for(&mut self, client: SocketAddr) {
        self.via = self.address();
        self.peer = Peer::Tcp(client);
        self.local = None;
    }

    /// Asks the system whose the connection is, which can block.
    pub fn ask_for_account(&mut self) {
        let account = match (&self.peer, self.local) {
            (Peer::Unix { uid, gid, pid }, _) => Some(Account {
                gid: Some(*gid),
                pid: *pid,
                exe: pid.and_then(executable),
                ..Account::of(*uid)
            }),
            (Peer::Tcp(client), Some(ours)) if self.is_over_loopback() => {
                loopback::account(*client, ours)
            }
            (Peer::Tcp(_), _) => None,
        };
        self.account = account.filter(|account| overflow() != Some(account.uid));
    }

    /// By TCP from this machine to itself.
    pub fn is_over_loopback(&self) -> bool {
        self.via.is_none() && self.address().is_some_and(|a| a.ip().is_loopback())
    }

    /// The address of the client, where it has one.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.peer {
            Peer::Tcp(address) => Some(address),
            Peer::Unix { .. } => None,
        }
    }

    /// How the audit log names the client: by the strongest that is known.
    pub fn identity(&self) -> IdentityRef {
        if let Some(token) = self.tokens.first() {
            return IdentityRef {
                method: "token".into(),
                subject: token.subject.as_str().into(),
                issuer: Some(token.by.issuer.as_str().into()),
                token_id: token.id.as_deref().map(Into::into),
                ..IdentityRef::default()
            };
        }
        if let Some(caller) = &self.aws {
            return IdentityRef {
                method: "aws_iam".into(),
                subject: caller.arn.clone(),
                issuer: Some("sts".into()),
                ..IdentityRef::default()
            };
        }
        let account = self.account.as_ref();
        if let Some(certificate) = &self.certificate {
            let names = certificate.names();
            return IdentityRef {
                method: "certificate".into(),
                subject: names
                    .first()
                    .map_or_else(|| certificate.subject.clone(), |n| n.as_str().into()),
                issuer: Some(certificate.issuer.clone()),
                cert_sha256: Some(certificate.sha256.clone()),
                uid: account.map(|a| a.uid),
                pid: account.and_then(|a| a.pid),
                exe: account.and_then(|a| a.exe.clone()),
                ..IdentityRef::default()
            };
        }
        let (method, uid) = match (&self.peer, account) {
            (Peer::Unix { uid, .. }, _) => ("unix_user", *uid),
            (Peer::Tcp(_), Some(account)) => ("loopback_user", account.uid),
            (Peer::Tcp(address), None) => {
                return IdentityRef {
                    method: "network".into(),
                    subject: address.ip().to_string().into(),
                    ..IdentityRef::default()
                };
            }
        };
        IdentityRef {
            method: method.into(),
            subject: account
                .and_then(|a| a.name.clone())
                .unwrap_or_else(|| uid.to_string().into()),
            uid: Some(uid),
            gid: account.and_then(|a| a.gid),
            pid: account.and_then(|a| a.pid),
            exe: account.and_then(|a| a.exe.clone()),
            ..IdentityRef::default()
        }
    }
}

/// The program that a process runs, as far as this process may know.
pub fn executable(pid: i32) -> Option<Arc<str>> {
    let path = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    Some(path.to_string_lossy().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_number_here_is_nobody_in_particular() {
        // The first namespace, and a kernel without any.
        assert_eq!(
            overflow_of("         0          0 4294967295\n", "65534\n"),
            None
        );
        assert_eq!(overflow_of("", ""), None);
        for map in [
            "         0     100000      65536\n",
            "0 0 65536\n",
            "0 1000 1\n1 100000 65536\n",
        ] {
            assert_eq!(overflow_of(map, "65534\n"), Some(65534), "{map}");
        }
    }
}
