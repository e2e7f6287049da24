//! A byte stream to a client or a server: a socket, or TLS over one.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Waker};

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio_rustls::{client, server};

use super::Socket;
use super::forward::forward_io;

/// A socket, or TLS over one. The TLS states are boxed: they are large, and
/// most connections are plain.
pub enum Stream {
    Plain(Socket),
    /// A client's connection: pgvalet is the server of the TLS session.
    FromClient(Box<server::TlsStream<Socket>>),
    /// An upstream connection: pgvalet is the client of the TLS session.
    ToServer(Box<client::TlsStream<Socket>>),
}

forward_io!(Stream: Plain, FromClient, ToServer);

impl Stream {
    /// Writes all bytes, and flushes. A plain socket is written to at once, without asking
    /// the runtime whether that is possible: on a new socket it always is.
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

    /// The protocol that ALPN agreed on.
    pub fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
            Self::FromClient(s) => s.get_ref().1.alpn_protocol(),
            Self::ToServer(s) => s.get_ref().1.alpn_protocol(),
        }
    }

    /// The address of the other end of a TCP connection.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        match self.socket() {
            Socket::Tcp(s) => s.peer_addr().ok(),
            Socket::Unix(_) => None,
        }
    }

    /// The address of this end of a TCP connection.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.socket().local()
    }

    fn socket(&self) -> &Socket {
        match self {
            Self::Plain(s) => s,
            Self::FromClient(s) => s.get_ref().0,
            Self::ToServer(s) => s.get_ref().0,
        }
    }

    /// The TLS version; `None` without TLS.
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

    /// Whether a client's TLS session continues an earlier one.
    pub fn is_resumed(&self) -> bool {
        let resumed = Some(rustls::HandshakeKind::Resumed);
        matches!(self, Self::FromClient(s) if s.get_ref().1.handshake_kind() == resumed)
    }

    /// The certificates that a client sent, its own first.
    pub fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        match self {
            Self::FromClient(s) => s.get_ref().1.peer_certificates().unwrap_or_default(),
            Self::Plain(_) | Self::ToServer(_) => &[],
        }
    }

    /// Whether an idle connection is open and nothing has arrived on it. (A server that
    /// shuts down sends FATAL or closes.) The runtime already knows whether anything
    /// arrived, so in the common case this costs no system call.
    pub fn is_quiet(&mut self) -> bool {
        let mut byte = [0; 1];
        let mut buf = ReadBuf::new(&mut byte);
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(self).poll_read(&mut cx, &mut buf).is_pending()
    }
}
