//! The Postgres protocol between client and server.

mod cancel;
mod connect;
mod copy;
mod fatal;
mod handshake;
mod keys;
mod relay;
mod replication;
mod stream_end;
