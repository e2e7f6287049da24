//! What is known of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use super::account::executable;
use super::aws_iam::Caller;
use super::identity::strongest;
use super::token::Verified;
use super::{Account, Certificate, UserRef, loopback};
use crate::audit::IdentityRef;
use crate::net::Peer;

/// Everything that rules may ask about a connection. A rule that asks for
/// something that is not known does not match.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The other end of the connection, or what a trusted load balancer says
    /// about it.
    pub peer: Peer,
    /// The load balancer that has passed the connection on.
    pub via: Option<SocketAddr>,
    /// This end of the connection; `None` if a load balancer stands in between.
    pub local: Option<SocketAddr>,
    /// The account at the other end, where the kernel knows it.
    pub account: Option<Account>,
    /// The certificate that the client has shown and proved to be its own.
    pub certificate: Option<Arc<Certificate>>,
    /// The token that the client presented, once for each issuer of the rules
    /// that vouches for it.
    pub tokens: Vec<Verified>,
    /// The caller that AWS STS says the client is.
    pub aws: Option<Caller>,
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

    /// Notes the client that a load balancer says it connects for. The owner of the
    /// load balancer's socket says nothing about that client.
    pub fn set_proxied_client(&mut self, client: SocketAddr) {
        self.via = self.address();
        self.peer = Peer::Tcp(client);
        self.local = None;
    }

    /// Asks the system for the account at the other end, which can block.
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
        self.account = account.filter(Account::is_known);
    }

    /// Whether the client connects by TCP from this machine to itself.
    pub fn is_over_loopback(&self) -> bool {
        self.via.is_none() && self.address().is_some_and(|a| a.ip().is_loopback())
    }

    /// The address of the client; `None` on a unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.peer {
            Peer::Tcp(address) => Some(address),
            Peer::Unix { .. } => None,
        }
    }

    /// How the audit log names the client: by the strongest identity that is known.
    pub fn identity(&self) -> IdentityRef {
        strongest(self)
    }

    /// Why the account is not the one that a rule names, for the operator.
    pub(super) fn other_account(&self, wanted: &UserRef) -> String {
        match &self.account {
            Some(account) => format!("the client is {account}, not {wanted}"),
            None => format!("nothing says whether the client is {wanted}"),
        }
    }
}
