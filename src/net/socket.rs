//! A plain socket, TCP or unix.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, recv, send};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use super::address::canonical;
use super::forward::forward_io;

/// A connected socket without TLS.
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

forward_io!(Socket: Tcp, Unix);

/// How a TCP connection notices that its other end has vanished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpOptions {
    /// `None`: an idle connection does not notice it.
    pub keepalives: Option<Keepalives>,
    /// How long sent bytes may stay unacknowledged; zero: as long as the system says.
    pub user_timeout: Duration,
}

/// Probes that are sent while a connection is idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalives {
    pub idle: Duration,
    pub interval: Duration,
    /// How many may stay unanswered.
    pub count: u32,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            keepalives: Some(Keepalives {
                idle: Duration::from_secs(60),
                interval: Duration::from_secs(15),
                count: 4,
            }),
            user_timeout: Duration::ZERO,
        }
    }
}

/// Sends small messages at once (TCP_NODELAY), and notices a peer that vanished.
pub(super) fn tune(socket: SockRef<'_>, options: &TcpOptions) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    if let Some(keepalives) = options.keepalives {
        let probes = TcpKeepalive::new()
            .with_time(keepalives.idle)
            .with_interval(keepalives.interval)
            .with_retries(keepalives.count);
        socket.set_tcp_keepalive(&probes)?;
    }
    #[cfg(target_os = "linux")]
    if !options.user_timeout.is_zero() {
        socket.set_tcp_user_timeout(Some(options.user_timeout))?;
    }
    Ok(())
}

impl Socket {
    /// Takes over a TCP stream and sets its options.
    pub fn tcp(stream: TcpStream) -> io::Result<Self> {
        Self::with_options(stream, &TcpOptions::default())
    }

    fn with_options(stream: TcpStream, options: &TcpOptions) -> io::Result<Self> {
        tune(SockRef::from(&stream), options)?;
        Ok(Self::Tcp(stream))
    }

    /// A client's connection that another process has accepted.
    ///
    /// # Errors
    /// It is no such socket.
    pub fn inherit(socket: OwnedFd, tcp: bool) -> io::Result<Self> {
        Ok(match tcp {
            true => Self::Tcp(TcpStream::from_std(socket.into())?),
            false => Self::Unix(UnixStream::from_std(socket.into())?),
        })
    }

    /// A second descriptor, for another process.
    ///
    /// # Errors
    /// There is none left.
    pub fn share(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(s) => s.as_fd().try_clone_to_owned(),
            Self::Unix(s) => s.as_fd().try_clone_to_owned(),
        }
    }

    /// Connects, and sets the options of the socket.
    pub async fn connect_tcp(to: SocketAddr, options: &TcpOptions) -> io::Result<Self> {
        Self::with_options(TcpStream::connect(to).await?, options)
    }

    /// The address of this end of a TCP connection.
    pub fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(s) => s.local_addr().ok().map(canonical),
            Self::Unix(_) => None,
        }
    }

    /// Waits for the first byte, and says whether it begins a TLS handshake record. A
    /// start-up packet begins with its length, and therefore with 0.
    pub async fn begins_with_tls(&self) -> io::Result<bool> {
        match self {
            Self::Tcp(s) => {
                let mut first = [0; 1];
                Ok(s.peek(&mut first).await? == 1 && first[0] == 0x16)
            }
            Self::Unix(_) => Ok(false),
        }
    }

    fn descriptor(&self) -> RawFd {
        match self {
            Self::Tcp(s) => s.as_raw_fd(),
            Self::Unix(s) => s.as_raw_fd(),
        }
    }

    /// Reads without waiting: shows `wanted` the bytes that have arrived, as many as
    /// `buffer` holds, and consumes as many as it asks for. `None` if it asks for none, or
    /// nothing has arrived.
    ///
    /// The runtime assumes that a new socket is readable. When nothing is left to read it
    /// is told so, which saves a failed read later. Bytes that arrive in the meantime are
    /// a new event, which is not lost by that.
    pub fn take_now<'b>(
        &self,
        buffer: &'b mut [u8],
        wanted: impl FnOnce(&[u8]) -> Option<usize>,
    ) -> io::Result<Option<&'b [u8]>> {
        let descriptor = self.descriptor();
        let mut taken = None;
        let take = || {
            let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
            let there = recv(descriptor, buffer, flags)?;
            let Some(n) = wanted(&buffer[..there]) else {
                return Ok(());
            };
            if recv(descriptor, &mut buffer[..n], MsgFlags::MSG_DONTWAIT)? != n {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            taken = Some(n);
            match n == there && there < buffer.len() {
                true => Err(io::ErrorKind::WouldBlock.into()),
                false => Ok(()),
            }
        };
        let result = match self {
            Self::Tcp(s) => s.try_io(Interest::READABLE, take),
            Self::Unix(s) => s.try_io(Interest::READABLE, take),
        };
        match result {
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => Err(e),
            _ => Ok(taken.map(|n| &buffer[..n])),
        }
    }

    /// Writes as many bytes as the socket takes at once, and returns their number.
    pub fn send_now(&self, bytes: &[u8]) -> usize {
        // The next write returns the error again.
        send(self.descriptor(), bytes, MsgFlags::MSG_DONTWAIT).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A socket that has been accepted, and its client, which has sent these bytes.
    async fn accepted(said: &[u8]) -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("an address");
        let mut client = TcpStream::connect(address).await.expect("connected");
        client.write_all(said).await.expect("said");
        let (socket, _) = listener.accept().await.expect("accepted");
        (Socket::tcp(socket).expect("a socket"), client)
    }

    async fn read(socket: &mut Socket, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        let read = tokio::time::timeout(Duration::from_secs(10), socket.read_exact(&mut bytes));
        read.await.expect("it is heard of").expect("read");
        bytes
    }

    #[tokio::test]
    async fn bytes_that_are_not_taken_stay() {
        let (mut socket, _client) = accepted(b"startQuery").await;
        let mut buffer = [0; 64];
        let none = socket.take_now(&mut buffer, |there| {
            assert_eq!(there, b"startQuery");
            None
        });
        assert_eq!(none.expect("no error"), None);
        let five = socket.take_now(&mut buffer, |_| Some(5));
        assert_eq!(five.expect("no error"), Some(&b"start"[..]));
        assert_eq!(read(&mut socket, 5).await, b"Query");
    }

    #[tokio::test]
    async fn bytes_that_arrive_after_all_was_taken_wake_the_reader() {
        let (mut socket, mut client) = accepted(b"start").await;
        let mut buffer = [0; 64];
        let all = socket.take_now(&mut buffer, |there| Some(there.len()));
        assert_eq!(all.expect("no error"), Some(&b"start"[..]));
        let nothing = socket.take_now(&mut buffer, |_| panic!("nothing is there"));
        assert_eq!(nothing.expect("no error"), None);
        client.write_all(b"Query").await.expect("said");
        assert_eq!(read(&mut socket, 5).await, b"Query");
        drop(client);
        assert_eq!(socket.read(&mut buffer).await.expect("an end"), 0);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_socket_has_the_options_that_it_is_given() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("an address");
        let seconds = Duration::from_secs;
        let mut options = TcpOptions {
            keepalives: Some(Keepalives {
                idle: seconds(7),
                interval: seconds(3),
                count: 5,
            }),
            user_timeout: seconds(11),
        };
        for probes in [true, false] {
            if !probes {
                options.keepalives = None;
            }
            let socket = Socket::connect_tcp(address, &options).await;
            let Ok(Socket::Tcp(stream)) = socket else {
                panic!("no TCP connection");
            };
            let socket = SockRef::from(&stream);
            assert!(socket.tcp_nodelay().expect("a flag"));
            assert_eq!(socket.keepalive().expect("a flag"), probes);
            if probes {
                assert_eq!(socket.tcp_keepalive_time().expect("a time"), seconds(7));
                assert_eq!(socket.tcp_keepalive_interval().expect("a time"), seconds(3));
                assert_eq!(socket.tcp_keepalive_retries().expect("a number"), 5);
            }
            let timeout = socket.tcp_user_timeout().expect("a time");
            assert_eq!(timeout, Some(seconds(11)));
        }
    }
}
