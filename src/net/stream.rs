//! A byte stream to a client or a server, whatever carries it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, recv, send};
use rustls::pki_types::CertificateDer;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::{TcpStream, ToSocketAddrs, UnixStream};
use tokio_rustls::{client, server};

/// A plain socket.
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Who is at the other end, as the kernel says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    Tcp(SocketAddr),
    Unix {
        uid: u32,
        gid: u32,
        pid: Option<i32>,
    },
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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

/// Small messages leave at once, and a peer that vanished is noticed.
pub(super) fn tune(socket: SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15));
    socket.set_tcp_keepalive(&keepalive)
}

impl Socket {
    pub fn tcp(stream: TcpStream) -> io::Result<Self> {
        tune(SockRef::from(&stream))?;
        Ok(Self::Tcp(stream))
    }

    pub async fn connect_tcp(to: impl ToSocketAddrs) -> io::Result<Self> {
        Self::tcp(TcpStream::connect(to).await?)
    }

    /// This end of a TCP connection.
    pub fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(s) => s.local_addr().ok().map(canonical),
            Self::Unix(_) => None,
        }
    }

    /// Whether the first byte to come is that of a TLS record with a
    /// handshake. A start-up packet begins with its length, and so with 0.
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

    /// Shows `wanted` what has arrived by now, as much as `buffer` holds, and takes
    /// off as much as that asks for. `None`: nothing, or only waiting will tell.
    ///
    /// The runtime takes a new socket for readable. Where nothing is left it is told
    /// so, and does not look in vain; what arrives in the meantime is an event of
    /// its own, which this cannot undo.
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

    /// Writes as much as the socket takes at once; how much that was.
    fn send_now(&self, bytes: &[u8]) -> usize {
        // An error shows again at the next write.
        send(self.descriptor(), bytes, MsgFlags::MSG_DONTWAIT).unwrap_or(0)
    }
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

pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A socket, or TLS over one. The TLS states are boxed: they are large, and
/// most connections are plain.
pub enum Stream {
    Plain(Socket),
    /// We are the server of this TLS session: a client's connection.
    FromClient(Box<server::TlsStream<Socket>>),
    /// We are the client of this TLS session: an upstream connection.
    ToServer(Box<client::TlsStream<Socket>>),
}

impl Stream {
    /// Writes all of it, and flushes. A plain socket is tried at once, without
    /// the runtime's knowing that it can be written to: a new one always can.
    pub async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        let said = match self {
            Self::Plain(socket) => socket.send_now(bytes),
            Self::FromClient(_) | Self::ToServer(_) => 0,
        };
        self.write_all(&bytes[said..]).await?;
        self.flush().await
    }

    /// Whether written bytes wait in a TLS state until they are flushed.
    pub fn needs_flush(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }

    /// What was agreed on by ALPN.
    pub fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
            Self::FromClient(s) => s.get_ref().1.alpn_protocol(),
            Self::ToServer(s) => s.get_ref().1.alpn_protocol(),
        }
    }

    /// The other end of a TCP connection.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        let socket = match self {
            Self::Plain(s) => s,
            Self::FromClient(s) => s.get_ref().0,
            Self::ToServer(s) => s.get_ref().0,
        };
        match socket {
            Socket::Tcp(s) => s.peer_addr().ok(),
            Socket::Unix(_) => None,
        }
    }

    /// The TLS version, where there is TLS.
    pub fn tls_version(&self) -> Option<&'static str> {
        let version = match self {
            Self::Plain(_) => return None,
            Self::FromClient(s) => s.get_ref().1.protocol_version(),
            Self::ToServer(s) => s.get_ref().1.protocol_version(),
        };
        Some(match version {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLS",
        })
    }

    /// Whether this TLS session continues an earlier one.
    pub fn is_resumed(&self) -> bool {
        let resumed = Some(rustls::HandshakeKind::Resumed);
        matches!(self, Self::FromClient(s) if s.get_ref().1.handshake_kind() == resumed)
    }

    /// What the client has shown of itself: its own certificate first.
    pub fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        match self {
            Self::FromClient(s) => s.get_ref().1.peer_certificates().unwrap_or_default(),
            Self::Plain(_) | Self::ToServer(_) => &[],
        }
    }

    /// Whether an idle connection is still silent and open. A server that
    /// shut down has sent FATAL or closed. The runtime already knows whether
    /// anything arrived, so in the common case this costs no system call.
    pub fn is_quiet(&mut self) -> bool {
        let mut byte = [0; 1];
        let mut buf = ReadBuf::new(&mut byte);
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(self).poll_read(&mut cx, &mut buf).is_pending()
    }
}

macro_rules! each {
    ($self:ident, $s:ident => $e:expr) => {
        match $self.get_mut() {
            Self::Plain($s) => {
                let $s = Pin::new($s);
                $e
            }
            Self::FromClient($s) => {
                let $s = Pin::new(&mut **$s);
                $e
            }
            Self::ToServer($s) => {
                let $s = Pin::new(&mut **$s);
                $e
            }
        }
    };
}

macro_rules! each_socket {
    ($self:ident, $s:ident => $e:expr) => {
        match $self.get_mut() {
            Self::Tcp($s) => {
                let $s = Pin::new($s);
                $e
            }
            Self::Unix($s) => {
                let $s = Pin::new($s);
                $e
            }
        }
    };
}

macro_rules! io_by_variant {
    ($type:ident, $each:ident) => {
        impl AsyncRead for $type {
            #[inline]
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                $each!(self, s => s.poll_read(cx, buf))
            }
        }

        impl AsyncWrite for $type {
            #[inline]
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                $each!(self, s => s.poll_write(cx, buf))
            }

            // TLS writes all the records it has at once. An alert at the end of
            // an interrupted handshake has one chance to be written, and would
            // be lost behind the records before it.
            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                $each!(self, s => s.poll_write_vectored(cx, bufs))
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                $each!(self, s => s.poll_flush(cx))
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                $each!(self, s => s.poll_shutdown(cx))
            }
        }
    };
}

io_by_variant!(Stream, each);
io_by_variant!(Socket, each_socket);

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A socket that has been accepted, and its client, which has said this much.
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
    async fn what_is_not_taken_at_once_is_still_there() {
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
    async fn what_arrives_after_all_was_taken_is_heard_of() {
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
