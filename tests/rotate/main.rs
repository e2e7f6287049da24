//! Rotations of the real binary, against real Postgres servers.

#[path = "../common/mod.rs"]
mod common;

mod alternating;
mod api;
mod canary;
mod crash;
mod foreign;
mod gate;
mod hostile;
mod hosts;
mod left;
mod many;
mod marked;
mod meeting;
mod plaintext;
mod resume;
mod scene;
mod scheduled;
mod served;
mod single;
mod ways_out;
