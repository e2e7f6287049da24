//! Faults, and what clients see of them: docs/RELIABILITY.md has the table.

mod book;
mod disk;
mod exactly_once;
mod failover;
mod from_client;
mod from_server;
mod from_store;
mod pace;
mod postgres;
mod stage;
mod talk;
mod world;
