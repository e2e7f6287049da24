//! TLS to clients and to Postgres.

mod clients;
mod upstream;
