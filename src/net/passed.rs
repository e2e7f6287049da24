//! Listening sockets that somebody else has opened: systemd (`LISTEN_FDS`), which keeps them open
//! while pgvalet restarts, or the process that this one replaces. Clients that connect meanwhile
//! wait instead of being refused.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use tokio::net::lookup_host;
use tracing::info;

use super::listener::ListenError;
use super::socket_file::SocketFile;

/// Listening sockets from outside. Each serves the address that it is bound to, so that what the
/// configuration says about its addresses stays true.
#[derive(Default)]
pub struct PassedSockets {
    tcp: Vec<(SocketAddr, TcpListener)>,
    unix: Vec<(UnixListener, SocketFile)>,
    /// The sockets are from the process before this one, and not from systemd.
    inherited: bool,
}

/// A socket of the process before this one.
pub struct InheritedSocket {
    pub socket: OwnedFd,
    pub kind: SocketKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum SocketKind {
    Tcp,
    /// A unix socket whose file pgvalet has made, and removes.
    Unix,
    /// A unix socket whose file belongs to systemd.
    PassedUnix,
}

impl PassedSockets {
    /// Takes what systemd has passed on. Called while there is one thread: it changes the
    /// environment, so that no child takes these sockets for its own.
    ///
    /// # Errors
    /// [`ListenError::Passed`] for a descriptor that is no listening stream socket.
    pub fn take() -> Result<Self, ListenError> {
        let mut passed = ListenFd::from_env();
        let mut sockets = Self::default();
        for index in 0..passed.len() {
            let wrong = |source| ListenError::Passed { index, source };
            if let Ok(Some(socket)) = passed.take_unix_listener(index) {
                let file = SocketFile::passed(path_of(&socket));
                socket.set_nonblocking(true).map_err(wrong)?;
                sockets.unix.push((socket, file));
            } else if let Some(socket) = passed.take_tcp_listener(index).map_err(wrong)? {
                socket.set_nonblocking(true).map_err(wrong)?;
                let address = socket.local_addr().map_err(wrong)?;
                sockets.tcp.push((address, socket));
            }
        }
        Ok(sockets)
    }

    /// Takes the sockets of the process before this one.
    ///
    /// # Errors
    /// [`ListenError::Passed`] for a descriptor that is no listening socket.
    pub fn inherit(inherited: Vec<InheritedSocket>) -> Result<Self, ListenError> {
        let mut sockets = Self {
            inherited: true,
            ..Self::default()
        };
        for (index, InheritedSocket { socket, kind }) in inherited.into_iter().enumerate() {
            let wrong = |source| ListenError::Passed { index, source };
            if kind == SocketKind::Tcp {
                let socket = TcpListener::from(socket);
                let address = socket.local_addr().map_err(wrong)?;
                sockets.tcp.push((address, socket));
                continue;
            }
            let socket = UnixListener::from(socket);
            let file = SocketFile::inherited(path_of(&socket), kind);
            sockets.unix.push((socket, file));
        }
        Ok(sockets)
    }

    /// The socket that is bound to this address; any of this host if the port is 0.
    pub(super) fn tcp(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let any = self.inherited && address.port() == 0;
        let mut bound = self.tcp.iter();
        let index = bound.position(|(b, _)| *b == address || (any && b.ip() == address.ip()))?;
        Some(self.tcp.remove(index).1)
    }

    pub(super) fn unix(&mut self, path: &Path) -> Option<(UnixListener, SocketFile)> {
        let index = self.unix.iter().position(|(_, f)| f.path() == path)?;
        Some(self.unix.swap_remove(index))
    }

    /// A TCP listener for the address of something else than clients.
    ///
    /// # Errors
    /// The host has no address, or the address cannot be bound.
    pub async fn bind(&mut self, address: &str) -> io::Result<tokio::net::TcpListener> {
        for address in lookup_host(address).await? {
            if let Some(socket) = self.tcp(address) {
                return tokio::net::TcpListener::from_std(socket);
            }
        }
        tokio::net::TcpListener::bind(address).await
    }

    /// Called when every address has its socket. What is left of the process before this one
    /// is closed, because the configuration does not name it any more.
    ///
    /// # Errors
    /// [`ListenError::PassedElsewhere`] if a socket of systemd is left, on which clients would
    /// wait for ever.
    pub fn all_used(self) -> Result<(), ListenError> {
        let unix = self
            .unix
            .iter()
            .map(|(_, f)| f.path().display().to_string());
        let tcp = self.tcp.iter().map(|(address, _)| address.to_string());
        let mut left = tcp.chain(unix);
        match left.next() {
            None => Ok(()),
            Some(address) if self.inherited => {
                for address in std::iter::once(address).chain(left) {
                    info!("no longer listening on {address}");
                }
                Ok(())
            }
            Some(address) => Err(ListenError::PassedElsewhere(address)),
        }
    }
}

/// Where a unix socket is bound; empty if it has no name.
fn path_of(socket: &UnixListener) -> PathBuf {
    let address = socket.local_addr().ok();
    let path = address.as_ref().and_then(|a| a.as_pathname());
    path.unwrap_or(Path::new("")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(sockets: &[&TcpListener]) -> PassedSockets {
        let tcp = sockets.iter().map(|socket| {
            let address = socket.local_addr().expect("an address");
            (address, socket.try_clone().expect("cloned"))
        });
        PassedSockets {
            tcp: tcp.collect(),
            ..PassedSockets::default()
        }
    }

    #[test]
    fn a_socket_serves_the_address_that_it_is_bound_to() {
        let bound = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("bound"));
        let [first, second] = bound.each_ref().map(|s| s.local_addr().expect("bound"));
        let mut sockets = passed(&[&bound[0], &bound[1]]);
        assert!(sockets.tcp("127.0.0.1:1".parse().expect("one")).is_none());
        let found = sockets.tcp(second).expect("passed");
        assert_eq!(found.local_addr().expect("bound"), second);
        assert!(sockets.tcp(second).is_none(), "it is used once");
        let left = passed(&[&bound[0]]).all_used().expect_err("one is left");
        assert!(left.to_string().contains(&first.to_string()), "{left}");
        assert!(sockets.tcp(first).is_some());
        assert!(sockets.all_used().is_ok());
    }

    #[test]
    fn a_unix_socket_is_known_by_its_path() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(".s.PGSQL.6432");
        let passed = || PassedSockets {
            unix: vec![(
                UnixListener::bind(&path).expect("bound"),
                SocketFile::passed(path.clone()),
            )],
            ..PassedSockets::default()
        };
        let mut sockets = passed();
        assert!(sockets.unix(&directory.path().join("other")).is_none());
        assert!(sockets.unix(&path).is_some());
        assert!(sockets.all_used().is_ok());
        std::fs::remove_file(&path).expect("its file stays");
        assert!(passed().all_used().is_err());
    }

    /// A process that fails to replace another one must not remove its file.
    #[test]
    fn the_file_of_an_inherited_socket_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let kind = SocketKind::Unix;
        let socket = UnixListener::bind(&path).expect("bound").into();
        let inherited = vec![InheritedSocket { socket, kind }];
        let mut sockets = PassedSockets::inherit(inherited).expect("inherited");
        let (_socket, file) = sockets.unix(&path).expect("it is there");
        let removed = file.removed();
        drop(file);
        assert!(path.exists());
        let file = SocketFile::inherited(path.clone(), kind);
        file.removed().set(true);
        removed.set(false);
        drop(file);
        assert!(
            !path.exists(),
            "once it has replaced the other, it removes it"
        );
    }

    #[test]
    fn an_inherited_socket_serves_a_port_that_was_chosen_by_the_system() {
        let socket = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = socket.local_addr().expect("an address");
        let inherited = vec![InheritedSocket {
            socket: socket.into(),
            kind: SocketKind::Tcp,
        }];
        let mut sockets = PassedSockets::inherit(inherited).expect("inherited");
        assert!(sockets.tcp("127.0.0.2:0".parse().expect("one")).is_none());
        let found = sockets.tcp("127.0.0.1:0".parse().expect("one"));
        let found = found.expect("inherited").local_addr().expect("bound");
        assert_eq!(found, address);
    }
}
