//! Sockets that systemd has opened and passed on (`LISTEN_FDS`). They stay open while pgvalet
//! restarts, so that clients which connect meanwhile wait instead of being refused.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;

use listenfd::ListenFd;

use super::listener::ListenError;

/// Listening sockets from outside. Each serves the `[listen]` address that it is bound to, so
/// that what the configuration says about its addresses stays true.
#[derive(Default)]
pub struct PassedSockets {
    tcp: Vec<(SocketAddr, TcpListener)>,
    unix: Vec<UnixListener>,
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
                socket.set_nonblocking(true).map_err(wrong)?;
                sockets.unix.push(socket);
            } else if let Some(socket) = passed.take_tcp_listener(index).map_err(wrong)? {
                socket.set_nonblocking(true).map_err(wrong)?;
                let address = socket.local_addr().map_err(wrong)?;
                sockets.tcp.push((address, socket));
            }
        }
        Ok(sockets)
    }

    pub(super) fn tcp(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let index = self.tcp.iter().position(|(bound, _)| *bound == address)?;
        Some(self.tcp.swap_remove(index).1)
    }

    pub(super) fn unix(&mut self, path: &Path) -> Option<UnixListener> {
        let bound = |socket: &UnixListener| {
            let address = socket.local_addr().ok();
            address.is_some_and(|address| address.as_pathname() == Some(path))
        };
        let index = self.unix.iter().position(bound)?;
        Some(self.unix.swap_remove(index))
    }

    /// # Errors
    /// [`ListenError::PassedElsewhere`] if a socket is left, on which clients would wait for
    /// ever.
    pub fn all_used(&self) -> Result<(), ListenError> {
        let unix = self.unix.iter().filter_map(|socket| {
            let address = socket.local_addr().ok()?;
            Some(address.as_pathname()?.display().to_string())
        });
        let tcp = self.tcp.iter().map(|(address, _)| address.to_string());
        match tcp.chain(unix).next() {
            None => Ok(()),
            Some(address) => Err(ListenError::PassedElsewhere(address)),
        }
    }
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
            unix: Vec::new(),
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
        let left = sockets.all_used().expect_err("one is left").to_string();
        assert!(left.contains(&first.to_string()), "{left}");
        assert!(sockets.tcp(first).is_some());
        assert!(sockets.all_used().is_ok());
    }

    #[test]
    fn a_unix_socket_is_known_by_its_path() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(".s.PGSQL.6432");
        let mut sockets = PassedSockets {
            tcp: Vec::new(),
            unix: vec![UnixListener::bind(&path).expect("bound")],
        };
        assert!(sockets.unix(&directory.path().join("other")).is_none());
        assert!(sockets.all_used().is_err());
        assert!(sockets.unix(&path).is_some());
        assert!(sockets.all_used().is_ok());
    }
}
