//! Who is at the other end of a connection.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::net::UnixStream;

use super::address::canonical;

/// Who is at the other end, as the kernel says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    Tcp(SocketAddr),
    Unix {
        uid: u32,
        gid: u32,
        /// Absent where the system does not tell it.
        pid: Option<i32>,
    },
}

impl Peer {
    pub(super) fn tcp(address: SocketAddr) -> Self {
        // `::ffff:10.0.0.1` is 10.0.0.1: rules are written for the latter.
        Self::Tcp(canonical(address))
    }

    pub(super) fn unix(stream: &UnixStream) -> io::Result<Self> {
        let cred = stream.peer_cred()?;
        Ok(Self::Unix {
            uid: cred.uid(),
            gid: cred.gid(),
            pid: cred.pid(),
        })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix {
                uid,
                pid: Some(pid),
                ..
            } => write!(f, "unix:uid={uid},pid={pid}"),
            Self::Unix { uid, pid: None, .. } => write!(f, "unix:uid={uid}"),
        }
    }
}
