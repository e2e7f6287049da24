//! Listeners on TCP addresses and unix sockets.

mod error;
mod tcp;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;

use tokio::net::{TcpListener, UnixListener};

use super::passed::{PassedSockets, SocketKind};
use super::socket_file::{Removed, SocketFile, remove_stale};
use super::{ListenAddress, Peer, Socket};
pub use error::ListenError;

/// Who may use a unix socket: its mode, owner and group.
#[derive(Debug, Default, Clone, Copy)]
pub struct SocketAccess {
    /// Permission bits, such as `0o660`.
    pub mode: u32,
    /// `None` leaves the owner as the process makes it.
    pub uid: Option<u32>,
    /// `None` leaves the group as the process makes it.
    pub gid: Option<u32>,
}

/// A bound listener.
pub enum Listener {
    /// The address is that of this end of every connection; `None` if the listener is
    /// bound to all addresses.
    Tcp(TcpListener, Option<SocketAddr>),
    Unix(UnixListener, SocketFile),
}

/// A second descriptor of a listening socket. Clients can connect for as long as one of them is
/// open.
pub struct Shared {
    pub socket: OwnedFd,
    pub kind: SocketKind,
    /// Whether the file of a unix socket is removed at the end; `None` for TCP.
    pub removed: Option<Removed>,
}

impl Shared {
    /// The second descriptor of a TCP listener.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn tcp(listener: &TcpListener) -> io::Result<Self> {
        Ok(Self {
            socket: listener.as_fd().try_clone_to_owned()?,
            kind: SocketKind::Tcp,
            removed: None,
        })
    }
}

/// An accepted connection, and who the kernel says it is from.
pub struct Accepted {
    pub socket: Socket,
    pub peer: Peer,
    /// This end of a TCP connection.
    pub local: Option<SocketAddr>,
}

impl Listener {
    /// Binds an address, and all of the addresses that a host name stands for, unless a socket
    /// that is bound to it was passed on. `reuse_port`: other processes may bind it too.
    ///
    /// # Errors
    /// [`ListenError`]
    pub async fn bind(
        address: &ListenAddress,
        sockets: SocketAccess,
        reuse_port: bool,
        passed: &mut PassedSockets,
    ) -> Result<Vec<Self>, ListenError> {
        match address {
            ListenAddress::Tcp { host, port } => {
                let bound = tcp::bind(host, *port, reuse_port, passed).await?;
                let listeners = bound.into_iter();
                Ok(listeners.map(|(l, local)| Self::Tcp(l, local)).collect())
            }
            ListenAddress::Unix { directory, port } => {
                let path = directory.join(format!(".s.PGSQL.{port}"));
                Ok(vec![Self::bind_unix(path, sockets, passed).await?])
            }
        }
    }

    /// Binds a unix socket at this path, unless one that is bound to it was passed on.
    ///
    /// # Errors
    /// [`ListenError`]
    pub async fn bind_unix(
        path: PathBuf,
        access: SocketAccess,
        passed: &mut PassedSockets,
    ) -> Result<Self, ListenError> {
        let fail = |source| ListenError::Bind {
            address: path.display().to_string(),
            source,
        };
        if let Some((socket, file)) = passed.unix(&path) {
            let listener = UnixListener::from_std(socket).map_err(fail)?;
            return Ok(Self::Unix(listener, file));
        }
        remove_stale(&path).await?;
        let listener = UnixListener::bind(&path).map_err(fail)?;
        let listener = Self::Unix(listener, SocketFile::made(path.clone()));
        if access.uid.is_some() || access.gid.is_some() {
            chown(&path, access.uid, access.gid).map_err(fail)?;
        }
        // Last: before that, nobody else may write to the file, and so not connect.
        fs::set_permissions(&path, fs::Permissions::from_mode(access.mode)).map_err(fail)?;
        Ok(listener)
    }

    /// The next connection.
    ///
    /// # Errors
    /// That of `accept` or of a call that prepares the socket.
    pub async fn accept(&self) -> io::Result<Accepted> {
        let (socket, peer, local) = match self {
            Self::Tcp(listener, local) => {
                let (stream, address) = listener.accept().await?;
                let socket = match stream {
                    stream if tcp::OPTIONS_ARE_INHERITED => Socket::Tcp(stream),
                    stream => Socket::tcp(stream)?,
                };
                let local = local.or_else(|| socket.local());
                (socket, Peer::tcp(address), local)
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let peer = Peer::unix(&stream)?;
                (Socket::Unix(stream), peer, None)
            }
        };
        Ok(Accepted {
            socket,
            peer,
            local,
        })
    }

    /// The socket, to be passed to another process.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn share(&self) -> io::Result<Shared> {
        Ok(match self {
            Self::Tcp(listener, _) => Shared::tcp(listener)?,
            Self::Unix(listener, file) => Shared {
                socket: listener.as_fd().try_clone_to_owned()?,
                kind: file.kind(),
                removed: Some(file.removed()),
            },
        })
    }

    /// The address for people, with the port that the system chose if it was 0.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(listener, _) => listener
                .local_addr()
                .map_or_else(|e| e.to_string(), |a| a.to_string()),
            Self::Unix(_, file) => file.path().display().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;

    /// The kernel's table of sockets, in which the owner of a connection is looked up,
    /// has the canonical address.
    #[tokio::test]
    async fn the_local_address_is_canonical_whatever_was_bound() {
        for host in ["127.0.0.1", "0.0.0.0", "::ffff:127.0.0.1", "::ffff:0.0.0.0"] {
            let address = ListenAddress::Tcp {
                host: host.into(),
                port: 0,
            };
            let listener = Listener::bind(
                &address,
                SocketAccess::default(),
                false,
                &mut PassedSockets::default(),
            )
            .await
            .expect("bound")
            .remove(0);
            let Listener::Tcp(socket, _) = &listener else {
                panic!("it listens on TCP");
            };
            let port = socket.local_addr().expect("an address").port();
            let client = tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .expect("connected");
            let accepted = listener.accept().await.expect("accepted");
            assert_eq!(accepted.local, client.peer_addr().ok(), "{host}");
        }
    }

    #[tokio::test]
    async fn an_accepted_socket_is_tuned() {
        let address = ListenAddress::Tcp {
            host: "127.0.0.1".into(),
            port: 0,
        };
        let listener = Listener::bind(
            &address,
            SocketAccess::default(),
            false,
            &mut PassedSockets::default(),
        )
        .await
        .expect("bound")
        .remove(0);
        let client = tokio::net::TcpStream::connect(listener.address())
            .await
            .expect("connected");
        let accepted = listener.accept().await.expect("accepted");
        assert_eq!(
            accepted.peer,
            Peer::Tcp(client.local_addr().expect("an address"))
        );
        let Socket::Tcp(stream) = &accepted.socket else {
            panic!("accepted over TCP");
        };
        assert!(stream.nodelay().expect("an option"));
        let socket = SockRef::from(stream);
        assert!(socket.keepalive().expect("an option"));
        let seconds = |n| std::time::Duration::from_secs(n);
        assert_eq!(socket.tcp_keepalive_time().expect("an option"), seconds(60));
        assert_eq!(
            socket.tcp_keepalive_interval().expect("an option"),
            seconds(15)
        );
    }
}
