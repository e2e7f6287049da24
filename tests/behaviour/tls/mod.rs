//! TLS to clients and to Postgres.

mod certificates;
mod clients;
mod upstream;
