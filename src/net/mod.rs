//! Sockets: one stream type for TCP, unix sockets and TLS over either.

mod address;
pub mod client_certificate;
pub mod http;
pub mod https;
pub mod linger;
pub mod listener;
pub mod proxy_protocol;
pub mod server_certificate;
pub mod stream;
pub mod tls;

pub use address::{ListenAddress, is_local, is_loopback};
pub use client_certificate::{ClientCa, ClientTrust, Distrust};
pub use linger::hang_up;
pub use listener::{Accepted, Listener, SocketAccess};
pub use server_certificate::ServerCertificate;
pub use stream::{Peer, Socket, Stream};
pub use tls::UpstreamTls;
