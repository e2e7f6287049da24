//! pgvalet: a PostgreSQL proxy and pooler that keeps database credentials out
//! of applications.
//!
//! A client connects with no password. pgvalet finds out who it is from how
//! it connects ([`access`]), logs in upstream ([`upstream`]) with the current
//! version of a secret ([`secret`]), shares the server connections ([`pool`])
//! between clients ([`session`]), follows the secret when it rotates, and
//! records which client used which version of it ([`audit`]).
//!
//! Imports run downwards only: `cli → server → config → admin → session → access → pool →
//! rotation → upstream → vault → secret → audit → fleet → telemetry → wire, net → metrics →
//! base`. The only global state is what a process has one of: the queue of its log ([`base::log`]),
//! and threads for slow work ([`base::crew`]).

#![forbid(unsafe_code)]

pub mod access;
pub mod admin;
pub mod audit;
pub mod base;
pub mod cli;
pub mod config;
pub mod fleet;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod metrics;
pub mod net;
pub mod pool;
pub mod rotation;
pub mod secret;
pub mod server;
pub mod session;
pub mod telemetry;
pub mod upstream;
pub mod vault;
pub mod wire;
