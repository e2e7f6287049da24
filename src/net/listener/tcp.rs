//! Binding TCP addresses.

use std::io;
use std::net::SocketAddr;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, lookup_host};

use super::ListenError;
use crate::net::TcpOptions;
use crate::net::address::canonical;
use crate::net::passed::PassedSockets;
use crate::net::socket::tune;

/// Connections that may wait to be accepted; net.core.somaxconn may say less.
const BACKLOG: u32 = 4096;

/// Linux gives an accepted socket the options of its listener, which saves
/// four system calls a client.
pub(super) const OPTIONS_ARE_INHERITED: bool = cfg!(target_os = "linux");

/// Binds all of the addresses that a host name stands for, unless a socket that is bound to one
/// was passed on; each with the address of this end of its connections, if it is one.
pub(super) async fn bind(
    host: &str,
    port: u16,
    reuse_port: bool,
    passed: &mut PassedSockets,
) -> Result<Vec<(TcpListener, Option<SocketAddr>)>, ListenError> {
    let fail = |source| ListenError::Bind {
        address: format!("{host}:{port}"),
        source,
    };
    let mut listeners = Vec::new();
    for address in lookup_host((host, port)).await.map_err(fail)? {
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
        listeners.push((listener, local));
    }
    Ok(listeners)
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
