//! The scanners of both directions, without sockets: whatever the sizes of the
//! pieces, and whoever else uses the server connections, a client sees what it
//! would see on a Postgres of its own.

mod chunks;
mod messages;
mod postgres;
mod restore;
mod statements;
mod world;
mod zone;
