//! What reads the bytes of a peer, a function for each reader: no bytes make it
//! panic, and what can be said of any bytes is asserted.
//!
//! The targets in `fuzz/` call these, and so do the tests here, with bytes of
//! any kind and with mutations of the same seeds. In no other build are they.

mod input;
mod proof;
mod store;
#[cfg(test)]
mod tests;
mod wire;

pub use crate::fleet::fuzz::fleet;
pub use crate::net::tls::fuzz::server_certificate;
pub use crate::session::fuzz::{client, server};
pub(crate) use input::Input;
pub use proof::{answer, certificate, presigned, scram, token};
pub use store::{call, request, secret};
pub use wire::{fields, proxy_header, sasl, sql, startup};
