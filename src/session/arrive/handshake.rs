//! The handshake: PROXY header, TLS, and the start-up packet.
//!
//! Every read asks for exactly the bytes that the protocol allows at this point. Bytes that
//! were sent before the TLS handshake therefore become a part of it, and break it
//! (CVE-2021-23214).

use std::io;
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio_rustls::TlsAcceptor;

use super::limiter::Ticket;
use super::origin::Origin;
use crate::access::{Certificate, Denial, Evidence};
use crate::net::proxy_protocol::{self, Proxied, ProxyError};
use crate::net::tls::ALPN;
use crate::net::{Distrust, Peer, ServerCertificate, Socket, Stream};
use crate::session::context::{Context, Tls};
use crate::wire::startup::{Startup, StartupError, StartupPacket, body_length};

/// How a handshake ended.
pub enum Handshake {
    Start(Stream, Startup),
    Cancel {
        stream: Stream,
        pid: u32,
        key: Vec<u8>,
    },
    /// The client has to be told why.
    Refused(Stream, Denial),
}

/// A handshake that ends without the client being told: it has left, or what it sent was no
/// handshake at all.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the client asked for encryption twice")]
    Repeated,
    #[error("no start-up packet")]
    Nonsense,
    #[error("malformed cancel request")]
    Cancel,
    #[error("direct TLS without ALPN \"postgresql\"")]
    NoAlpn,
    #[error("TLS: {0}")]
    Tls(rustls::Error),
    #[error("{0}")]
    Proxy(#[from] ProxyError),
    #[error("the certificate of a resumed session: {}", .0.reason())]
    Distrusted(Distrust),
}

impl Broken {
    /// The reason in the record; `None` for a client that just went away, which has none.
    pub fn denial(&self) -> Option<Denial> {
        match self {
            Self::Io(_) | Self::Proxy(ProxyError::Io(_)) => None,
            Self::Proxy(_) => Some(Denial::ProxyHeader),
            Self::Repeated | Self::Nonsense | Self::Cancel | Self::NoAlpn => {
                Some(Denial::Malformed)
            }
            Self::Tls(e) => Some(Distrust::of(e).map_or(Denial::Tls, Denial::Certificate)),
            Self::Distrusted(distrust) => Some(Denial::Certificate(*distrust)),
        }
    }

    /// A TLS handshake that failed, whose fault it may be.
    fn tls(error: io::Error) -> Self {
        match error
            .get_ref()
            .and_then(|e| e.downcast_ref::<rustls::Error>())
        {
            Some(tls) => Self::Tls(tls.clone()),
            None => Self::Io(error),
        }
    }
}

/// Reads all that a client sends up to its start-up packet. What becomes known of it goes into
/// `evidence`.
///
/// # Errors
/// [`Broken`].
pub async fn handshake(
    mut socket: Socket,
    evidence: &mut Evidence,
    context: &Context,
    ticket: &Ticket,
) -> Result<Handshake, Broken> {
    let tls = &context.tls;
    if context.expects_proxy_header(evidence) {
        if let Proxied::Client(client) = proxy_protocol::read(&mut socket).await? {
            evidence.set_proxied_client(client);
        }
        ticket.set_origin(Origin::of(evidence));
    }
    let local = matches!(evidence.peer, Peer::Unix { .. });
    let mut first = read_packet_at_once(&socket)?;
    let mut stream = Stream::Plain(socket);
    // Direct TLS, without an SSLRequest (libpq 17 with sslnegotiation=direct).
    if let (Stream::Plain(socket), Some(certificate)) = (&stream, context.tls.certificate())
        && !local
        && first.is_none()
        && socket.begins_with_tls().await?
    {
        stream = begin_tls(stream, certificate, context).await?;
        if stream.alpn() != Some(ALPN) {
            return Err(Broken::NoAlpn);
        }
    }
    let mut asked_gss = false;
    loop {
        let packet = match first.take() {
            Some(packet) => packet,
            None => read_packet(&mut stream).await?,
        };
        match packet {
            Err(StartupError::Cancel) => return Err(Broken::Cancel),
            // Not a start-up packet: Postgres, too, closes the connection without a word
            // (COMMERROR in ProcessStartupPacket).
            Err(StartupError::Length) => return Err(Broken::Nonsense),
            Err(e) => return Ok(Handshake::Refused(stream, Denial::Startup(e))),
            Ok(StartupPacket::Cancel { pid, secret }) => {
                let key = secret;
                return Ok(Handshake::Cancel { stream, pid, key });
            }
            Ok(StartupPacket::GssEnc) => {
                if std::mem::replace(&mut asked_gss, true) {
                    return Err(Broken::Repeated);
                }
                stream.say(b"N").await?;
            }
            Ok(StartupPacket::Ssl) => stream = answer_ssl(stream, context, local).await?,
            Ok(StartupPacket::Startup(startup)) => {
                // On a unix socket nobody can read along.
                let plain = stream.tls_version().is_none() && !local;
                if plain && matches!(tls, Tls::Require(_)) {
                    return Ok(Handshake::Refused(stream, Denial::TlsRequired));
                }
                evidence.certificate = Certificate::read(stream.peer_certificates()).map(Arc::new);
                return Ok(Handshake::Start(stream, startup));
            }
        }
    }
}

async fn answer_ssl(mut stream: Stream, context: &Context, local: bool) -> Result<Stream, Broken> {
    let Stream::Plain(_) = stream else {
        return Err(Broken::Repeated);
    };
    match context.tls.certificate() {
        Some(certificate) if !local => {
            stream.say(b"S").await?;
            begin_tls(stream, certificate, context).await
        }
        _ => {
            stream.say(b"N").await?;
            Ok(stream)
        }
    }
}

async fn begin_tls(
    stream: Stream,
    certificate: &ServerCertificate,
    context: &Context,
) -> Result<Stream, Broken> {
    let Stream::Plain(socket) = stream else {
        return Err(Broken::Repeated);
    };
    let session = TlsAcceptor::from(certificate.config()).accept(socket).await;
    let stream = Stream::FromClient(Box::new(session.map_err(Broken::tls)?));
    // rustls does not check the certificate of a resumed TLS session again, but it may have
    // been revoked since.
    if let Some(trust) = &context.client_trust
        && stream.is_resumed()
        && !stream.peer_certificates().is_empty()
    {
        trust
            .check(stream.peer_certificates())
            .map_err(Broken::Distrusted)?;
    }
    Ok(stream)
}

/// A length that nearly all start-up packets fit into.
const USUAL: usize = 512;

/// Reads the first packet without waiting, with two system calls, if it has arrived whole.
/// `None`: it has to be waited for, or is not one.
fn read_packet_at_once(socket: &Socket) -> io::Result<Option<Result<StartupPacket, StartupError>>> {
    let mut arrived = [0; USUAL];
    let packet = socket.take_now(&mut arrived, |arrived| {
        let word = arrived.first_chunk::<4>()?;
        let length = 4 + body_length(*word).ok()?;
        (!proxy_protocol::is_header(*word) && length <= arrived.len()).then_some(length)
    })?;
    Ok(packet.map(|packet| StartupPacket::read(&packet[4..])))
}

async fn read_packet(stream: &mut Stream) -> io::Result<Result<StartupPacket, StartupError>> {
    let mut word = [0; 4];
    stream.read_exact(&mut word).await?;
    if proxy_protocol::is_header(word) {
        return Ok(Err(StartupError::ProxyHeader));
    }
    let length = match body_length(word) {
        Ok(length) => length,
        Err(e) => return Ok(Err(e)),
    };
    let mut body = vec![0; length]; // at most MAX_STARTUP
    stream.read_exact(&mut body).await?;
    Ok(StartupPacket::read(&body))
}
