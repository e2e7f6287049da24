//! Rotations of the real binary, against real Postgres servers.

#[path = "../common/mod.rs"]
mod common;

mod alternating;
mod api;
mod crash;
mod gate;
mod left;
mod many;
mod resume;
mod scene;
mod scheduled;
mod single;
