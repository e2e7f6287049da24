//! The proxy as its users meet it: the real binary, real Postgres servers,
//! unmodified clients. One program, so that it is linked once; a module for
//! each concern.

#[path = "../common/mod.rs"]
mod common;

mod admin;
mod attack;
mod aws;
mod aws_iam;
mod bad_input;
mod batches;
#[cfg(target_os = "linux")]
mod big;
mod cancel;
mod certificate;
mod client_tls;
mod connect;
mod copy;
mod dashboard;
mod deallocate;
mod denial;
mod driver_certificate;
mod driver_tokio;
mod drivers;
mod ending;
mod handshake;
#[cfg(target_os = "linux")]
mod hardening;
mod harness;
mod hostile_upstream;
mod hosts;
mod identity;
mod isolation;
#[cfg(target_os = "linux")]
mod kept;
mod keys;
mod leaks;
mod libpq18;
mod lifecycle;
mod limits;
mod listen;
mod logging;
mod migration;
mod names;
mod programs;
mod protocol;
mod proxy_protocol;
mod raw;
mod rds;
mod refusals;
mod replication;
mod resets;
mod revoked;
mod rotate_script;
mod rotation;
mod rotation_at_length;
mod rotation_trouble;
mod rotation_windows;
mod rule_limits;
mod secure;
mod startup_words;
mod state;
mod statement_mode;
mod store;
mod sts;
mod timeouts;
mod token;
mod upstream_tls;
mod valve;
