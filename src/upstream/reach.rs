//! The way from a host to an open connection: addresses, a socket, TLS.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::{ConnectError, Target};
use crate::net::tls::fault;
use crate::net::{Socket, Stream};

/// Where the server of a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Address {
    Tcp(SocketAddr),
    Unix,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.ip().fmt(f),
            Self::Unix => f.write_str("the socket"),
        }
    }
}

impl From<Option<SocketAddr>> for Address {
    fn from(address: Option<SocketAddr>) -> Self {
        address.map_or(Self::Unix, Self::Tcp)
    }
}

/// The addresses of a target's host, each once, in the order of the resolver.
///
/// # Errors
/// Its name has none.
pub(super) async fn addresses(target: &Target) -> Result<Vec<Address>, ConnectError> {
    if target.socket().is_some() {
        return Ok(vec![Address::Unix]);
    }
    if let Ok(ip) = target.host.parse::<IpAddr>() {
        return Ok(vec![Address::Tcp(SocketAddr::new(ip, target.port))]);
    }
    let unknown = |why: String| ConnectError::Unreachable {
        address: target.to_string(),
        reason: format!("the name {} has no address: {why}", target.host),
    };
    let found = lookup_host((&*target.host, target.port)).await;
    let found = found.map_err(|e| unknown(e.to_string()))?;
    let mut addresses = Vec::new();
    for address in found.map(Address::Tcp) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(unknown("the resolver knows none".to_owned()));
    }
    Ok(addresses)
}

/// Opens the socket and, where configured, TLS.
pub(super) async fn reach(target: &Target, at: Address) -> Result<Stream, ConnectError> {
    let address = target.to_string();
    let io = |e: std::io::Error| ConnectError::io(&address, &e);
    let at = match (at, target.socket()) {
        (Address::Tcp(at), _) => at,
        (Address::Unix, path) => {
            let stream = UnixStream::connect(path.unwrap_or_default()).await;
            return Ok(Stream::Plain(Socket::Unix(stream.map_err(io)?)));
        }
    };
    let mut socket = Socket::connect_tcp(at, &target.tcp).await.map_err(io)?;
    let Some(config) = &target.tls else {
        return Ok(Stream::Plain(socket));
    };

    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    socket.write_all(&request).await.map_err(io)?;
    // Exactly one byte is read: anything a man in the middle stuffed behind it
    // becomes part of the TLS handshake and breaks it (CVE-2021-23222).
    let mut answer = [0; 1];
    socket.read_exact(&mut answer).await.map_err(io)?;
    if answer != *b"S" {
        let database = target.database.clone();
        return Err(ConnectError::NoTls { address, database });
    }
    let tls = |reason: String, certificate| ConnectError::Tls {
        address: address.clone(),
        reason,
        certificate,
    };
    let name =
        ServerName::try_from(target.host.to_string()).map_err(|e| tls(e.to_string(), None))?;
    let stream = TlsConnector::from(config.clone())
        .connect(name, socket)
        .await
        .map_err(|e| {
            let of_tls = e.get_ref().and_then(|e| e.downcast_ref());
            tls(e.to_string(), of_tls.and_then(fault))
        })?;
    Ok(Stream::ToServer(Box::new(stream)))
}
