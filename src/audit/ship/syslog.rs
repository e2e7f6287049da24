//! Syslog in the form of RFC 5424: over a unix socket, UDP (RFC 5426), TCP (RFC 6587) and TLS
//! (RFC 5425).

use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::options::SyslogAddress;
use super::target::{Message, Target};
use crate::net::tls;

/// The facility "log audit", and the severities "notice" and "warning".
const NOTICE: u8 = 13 * 8 + 5;
const WARNING: u8 = 13 * 8 + 4;

/// How long a server may take to be reached, and to take what it is sent.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Syslog {
    address: SyslogAddress,
    tls: Option<Arc<ClientConfig>>,
    connected: Option<Connection>,
}

enum Connection {
    Datagram(UnixDatagram),
    Unix(UnixStream),
    Udp(UdpSocket),
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Syslog {
    pub fn at(address: &SyslogAddress, ca: Option<&Path>) -> Result<Self, String> {
        let tls = match address {
            SyslogAddress::Tls(_) => Some(Arc::new(tls::for_web(ca).map_err(|e| e.to_string())?)),
            _ => None,
        };
        Ok(Self {
            address: address.clone(),
            tls,
            connected: None,
        })
    }

    fn connect(&self) -> io::Result<Connection> {
        Ok(match &self.address {
            SyslogAddress::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_write_timeout(Some(PATIENCE))?;
                match socket.connect(path) {
                    Ok(()) => Connection::Datagram(socket),
                    // It may be one of streams.
                    Err(_) => {
                        let stream = UnixStream::connect(path)?;
                        stream.set_write_timeout(Some(PATIENCE))?;
                        Connection::Unix(stream)
                    }
                }
            }
            SyslogAddress::Udp(address) => {
                let to = resolve(address)?;
                let any = if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
                let socket = UdpSocket::bind(any)?;
                socket.connect(to)?;
                Connection::Udp(socket)
            }
            SyslogAddress::Tcp(address) => Connection::Tcp(tcp(address)?),
            SyslogAddress::Tls(address) => {
                let host = address.rsplit_once(':').map_or("", |(host, _)| host);
                let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
                let name = name.map_err(io::Error::other)?;
                let config = self.tls.clone().ok_or_else(|| io::Error::other("no TLS"))?;
                let client = ClientConnection::new(config, name).map_err(io::Error::other)?;
                Connection::Tls(Box::new(StreamOwned::new(client, tcp(address)?)))
            }
        })
    }
}

fn resolve(address: &str) -> io::Result<std::net::SocketAddr> {
    let mut found = address.to_socket_addrs()?;
    found
        .next()
        .ok_or_else(|| io::Error::other("the host has no address"))
}

fn tcp(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the host has no address");
    for to in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&to, PATIENCE) {
            Ok(stream) => {
                stream.set_write_timeout(Some(PATIENCE))?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Target for Syslog {
    fn send(&mut self, messages: &[Message]) -> Result<(), String> {
        let mut connection = match self.connected.take() {
            Some(connection) => connection,
            None => self.connect().map_err(|e| self.wrong(&e))?,
        };
        connection.send(messages).map_err(|e| self.wrong(&e))?;
        self.connected = Some(connection);
        Ok(())
    }
}

impl Syslog {
    fn wrong(&self, error: &io::Error) -> String {
        match &self.address {
            SyslogAddress::Unix(path) => format!("{}: {error}", path.display()),
            SyslogAddress::Udp(to) | SyslogAddress::Tcp(to) | SyslogAddress::Tls(to) => {
                format!("{to}: {error}")
            }
        }
    }
}

impl Connection {
    fn send(&mut self, messages: &[Message]) -> io::Result<()> {
        match self {
            Self::Datagram(socket) => messages
                .iter()
                .try_for_each(|m| socket.send(&syslog(m)).map(drop)),
            Self::Udp(socket) => messages
                .iter()
                .try_for_each(|m| socket.send(&syslog(m)).map(drop)),
            Self::Unix(stream) => stream.write_all(&counted(messages)),
            Self::Tcp(stream) => stream.write_all(&counted(messages)),
            Self::Tls(stream) => {
                stream.write_all(&counted(messages))?;
                stream.flush()
            }
        }
    }
}

/// Each message behind its length, as RFC 6587 counts octets.
fn counted(messages: &[Message]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        let message = syslog(message);
        bytes.extend_from_slice(format!("{} ", message.len()).as_bytes());
        bytes.extend_from_slice(&message);
    }
    bytes
}

/// A message of RFC 5424.
fn syslog(message: &Message) -> Vec<u8> {
    let priority = if message.failed { WARNING } else { NOTICE };
    let (host, process) = message.proxy.rsplit_once(':').unwrap_or(("-", "-"));
    let mut bytes = format!(
        "<{priority}>1 {} {} pgvalet {} {} - ",
        word(&message.time, 64),
        word(host, 255),
        word(process, 128),
        word(&message.event, 32)
    )
    .into_bytes();
    bytes.extend_from_slice(&message.text);
    bytes
}

/// Text as a field of the header: printable ASCII without blanks.
fn word(text: &str, longest: usize) -> String {
    let printable = text.chars().filter(char::is_ascii_graphic).take(longest);
    let word: String = printable.collect();
    if word.is_empty() {
        "-".to_owned()
    } else {
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_of_rfc_5424() {
        let mut message = Message {
            seq: 7,
            text: b"{}".to_vec(),
            time: "2026-01-02T03:04:05.678901Z".to_owned(),
            event: "session.deny".to_owned(),
            proxy: "db host:12".to_owned(),
            failed: true,
        };
        assert_eq!(
            syslog(&message),
            b"<108>1 2026-01-02T03:04:05.678901Z dbhost pgvalet 12 session.deny - {}"
        );
        (message.failed, message.proxy) = (false, String::new());
        assert_eq!(
            counted(&[message]),
            b"64 <109>1 2026-01-02T03:04:05.678901Z - pgvalet - session.deny - {}"
        );
    }
}
