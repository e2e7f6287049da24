//! From accept to a start-up packet that has been read whole.
//!
//! Every read asks for exactly the bytes that the protocol allows at this
//! point. Bytes that somebody stuffed before the TLS handshake therefore
//! become a part of it, and break it (CVE-2021-23214).

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::context::Tls;
use crate::net::{Accepted, Peer, Stream};
use crate::wire::startup::{Startup, StartupError, StartupPacket, body_length};

/// How a handshake ended.
pub enum Handshake {
    Start(Stream, Startup),
    Cancel {
        pid: u32,
        key: Vec<u8>,
    },
    /// The client has to be told.
    Refused(Stream, Refusal),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Startup(StartupError),
    TlsRequired,
}

/// The client left, or what it sent was no handshake at all; nobody is told.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("encryption asked for twice")]
    Repeated,
    #[error("malformed cancel request")]
    Cancel,
}

pub async fn handshake(accepted: Accepted, tls: &Tls) -> Result<Handshake, Broken> {
    let mut stream = Stream::Plain(accepted.socket);
    let local = matches!(accepted.peer, Peer::Unix { .. });
    let mut asked_gss = false;
    loop {
        match read_packet(&mut stream).await? {
            Err(StartupError::Cancel) => return Err(Broken::Cancel),
            Err(e) => return Ok(Handshake::Refused(stream, Refusal::Startup(e))),
            Ok(StartupPacket::Cancel { pid, secret }) => {
                return Ok(Handshake::Cancel { pid, key: secret });
            }
            Ok(StartupPacket::GssEnc) => {
                if std::mem::replace(&mut asked_gss, true) {
                    return Err(Broken::Repeated);
                }
                stream.write_all(b"N").await?;
            }
            Ok(StartupPacket::Ssl) => stream = answer_ssl(stream, tls, local).await?,
            Ok(StartupPacket::Startup(startup)) => {
                // Nobody can listen on a unix socket.
                let plain = stream.tls_version().is_none() && !local;
                if plain && matches!(tls, Tls::Require(_)) {
                    return Ok(Handshake::Refused(stream, Refusal::TlsRequired));
                }
                return Ok(Handshake::Start(stream, startup));
            }
        }
    }
}

async fn answer_ssl(stream: Stream, tls: &Tls, local: bool) -> Result<Stream, Broken> {
    let Stream::Plain(mut socket) = stream else {
        return Err(Broken::Repeated);
    };
    match tls {
        Tls::Allow(config) | Tls::Require(config) if !local => {
            socket.write_all(b"S").await?;
            let session = TlsAcceptor::from(config.clone()).accept(socket).await?;
            Ok(Stream::FromClient(Box::new(session)))
        }
        _ => {
            socket.write_all(b"N").await?;
            Ok(Stream::Plain(socket))
        }
    }
}

async fn read_packet(stream: &mut Stream) -> io::Result<Result<StartupPacket, StartupError>> {
    let mut word = [0; 4];
    stream.read_exact(&mut word).await?;
    let length = match body_length(word) {
        Ok(length) => length,
        Err(e) => return Ok(Err(e)),
    };
    let mut body = vec![0; length]; // at most MAX_STARTUP
    stream.read_exact(&mut body).await?;
    Ok(StartupPacket::read(&body))
}
