//! Connections: listeners, and one stream type for TCP, unix sockets and TLS over either.
//!
//! * `address`            where listeners are; which hosts are this machine
//! * `listener`           bind and accept; `socket_file` is the file of a unix socket
//! * `passed`             sockets that systemd, or the process before this one, has opened
//! * `handover`           messages between that process and this one
//! * `peer`               who is at the other end, as the kernel says
//! * `socket`             a plain socket
//! * `stream`             a socket, or TLS over one; `forward` reads and writes it
//! * `linger`             closing without losing the last message
//! * `proxy_protocol`     what a load balancer says about its client
//! * `tls`                TLS configurations
//! * `server_certificate` the certificate that clients see
//! * `client_certificate` whose client certificates are accepted
//! * `validity`           from when until when certificates are valid
//! * `http`               the HTTP server loop of the admin listener and the store
//! * `https`              an HTTPS client for small documents; `otlp` the way to a collector of OpenTelemetry

mod address;
pub mod client_certificate;
mod forward;
pub mod handover;
pub mod http;
pub mod https;
mod linger;
pub mod listener;
pub mod otlp;
mod passed;
mod peer;
pub mod proxy_protocol;
mod server_certificate;
mod socket;
mod socket_file;
mod stream;
pub mod tls;
mod validity;

pub use address::{ListenAddress, is_local, is_loopback};
pub use client_certificate::{ClientCa, ClientTrust, Distrust};
pub use linger::hang_up;
pub use listener::{Accepted, Listener, Shared, SocketAccess};
pub use passed::{InheritedSocket, PassedSockets, SocketKind};
pub use peer::Peer;
pub use server_certificate::ServerCertificate;
pub use socket::{Keepalives, Socket, TcpOptions};
pub use socket_file::Removed;
pub use stream::Stream;
pub use tls::UpstreamTls;
pub use validity::Validity;
