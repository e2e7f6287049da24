//! A plain socket, TCP or unix.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, recv, send};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
use tokio::net::{TcpStream, ToSocketAddrs, UnixStream};

use super::address::canonical;
use super::forward::forward_io;

/// A connected socket without TLS.
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

forward_io!(Socket: Tcp, Unix);

/// Sends small messages at once (TCP_NODELAY), and notices a peer that vanished
/// (keepalive).
pub(super) fn tune(socket: SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15));
    socket.set_tcp_keepalive(&keepalive)
}

impl Socket {
    /// Takes over a TCP stream and sets its options.
    pub fn tcp(stream: TcpStream) -> io::Result<Self> {
        tune(SockRef::from(&stream))?;
        Ok(Self::Tcp(stream))
    }

    /// Connects, and sets the options of the socket.
    pub async fn connect_tcp(to: impl ToSocketAddrs) -> io::Result<Self> {
        Self::tcp(TcpStream::connect(to).await?)
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
    pub(super) fn send_now(&self, bytes: &[u8]) -> usize {
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
}
