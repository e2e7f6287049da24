//! Sockets: one stream type for TCP, unix sockets and TLS over either.

pub mod client_certificate;
pub mod https;
pub mod listener;
pub mod stream;
pub mod tls;

pub use client_certificate::{ClientTrust, Distrust};
pub use listener::{Accepted, Listener};
pub use stream::{Peer, Socket, Stream};
