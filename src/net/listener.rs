//! Listeners on TCP addresses and unix sockets.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, UnixListener, lookup_host};

use super::address::canonical;
use super::passed::{PassedSockets, SocketKind};
use super::socket::tune;
use super::socket_file::{Removed, SocketFile, remove_stale};
use super::{ListenAddress, Peer, Socket, TcpOptions};

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("cannot listen on {address}: {source}{}", remedy(source))]
    Bind { address: String, source: io::Error },
    #[error(
        "cannot listen on {0}: another process already serves this socket; choose another directory or stop it"
    )]
    SocketInUse(PathBuf),
    #[error(
        "cannot listen on {0}: a file that is no socket is in the way; move it or choose another directory"
    )]
    NotASocket(PathBuf),
    #[error("socket {index} that systemd passed on is no listening stream socket: {source}")]
    Passed { index: usize, source: io::Error },
    #[error(
        "systemd passed on a socket for {0}, which is no [listen] address; add it there, or remove it from the socket unit"
    )]
    PassedElsewhere(String),
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another process has this port: choose another [listen] address or stop it"
        }
        io::ErrorKind::PermissionDenied => {
            "; choose a place this user may use, or a port above 1023"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        io::ErrorKind::NotFound => "; make the directory first",
        _ => "",
    }
}

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

/// Connections that may wait to be accepted; net.core.somaxconn may say less.
const BACKLOG: u32 = 4096;

/// A second descriptor of a listening socket. Clients can connect for as long as one of them is
/// open.
pub struct Shared {
    pub socket: OwnedFd,
    pub kind: SocketKind,
    /// Of the file of a unix socket.
    pub removed: Option<Removed>,
}

impl Shared {
    /// That of a TCP listener.
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

fn bind_tcp(address: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(reuse_port)?;
    socket.bind(address)?;
    // tokio's own backlog, 128, is too short for a burst of clients.
    socket.listen(BACKLOG)
}

/// An accepted connection, and who the kernel says it is from.
pub struct Accepted {
    pub socket: Socket,
    pub peer: Peer,
    /// This end of a TCP connection.
    pub local: Option<SocketAddr>,
}

/// Linux gives an accepted socket the options of its listener, which saves
/// four system calls a client.
const OPTIONS_ARE_INHERITED: bool = cfg!(target_os = "linux");

/// TCP_DEFER_ACCEPT: clients speak first, so Linux can hold a connection back until the
/// first bytes have arrived, and one wakeup both accepts and reads. A silent connection
/// is accepted after a second.
#[cfg(target_os = "linux")]
mod defer {
    use nix::libc;
    use nix::sys::socket::{setsockopt, sockopt};
    use tokio::net::TcpListener;

    #[derive(Clone)]
    struct DeferAccept;

    nix::setsockopt_impl!(
        DeferAccept,
        libc::IPPROTO_TCP,
        libc::TCP_DEFER_ACCEPT,
        usize,
        sockopt::SetUsize
    );

    pub(super) fn until_data_arrives(listener: &TcpListener) {
        // Some sandboxes refuse it; accepting then costs one more wakeup.
        let _ = setsockopt(listener, DeferAccept, &1);
    }
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
                let fail = |source| ListenError::Bind {
                    address: format!("{host}:{port}"),
                    source,
                };
                let mut listeners = Vec::new();
                for address in lookup_host((host.as_str(), *port)).await.map_err(fail)? {
                    let listener = match passed.tcp(address) {
                        Some(socket) => TcpListener::from_std(socket).map_err(fail)?,
                        None => bind_tcp(address, reuse_port).map_err(fail)?,
                    };
                    // One that was passed on may have another backlog.
                    let backlog = BACKLOG.cast_signed();
                    SockRef::from(&listener).listen(backlog).map_err(fail)?;
                    if OPTIONS_ARE_INHERITED {
                        tune(SockRef::from(&listener), &TcpOptions::default()).map_err(fail)?;
                    }
                    #[cfg(target_os = "linux")]
                    defer::until_data_arrives(&listener);
                    let bound = canonical(listener.local_addr().map_err(fail)?);
                    let local = (!bound.ip().is_unspecified()).then_some(bound);
                    listeners.push(Self::Tcp(listener, local));
                }
                Ok(listeners)
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
                    stream if OPTIONS_ARE_INHERITED => Socket::Tcp(stream),
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
