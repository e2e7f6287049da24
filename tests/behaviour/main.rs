//! The proxy as its users meet it: the real binary, real Postgres servers,
//! unmodified clients. All of it is one program, which is linked once; each
//! folder has a subject, each module a concern.

#[path = "../common/mod.rs"]
mod common;

mod admin;
mod audit;
mod console;
mod deploy;
mod drivers;
mod faults;
mod fleet;
mod health;
mod helpers;
mod hostile;
mod identity;
mod login;
mod memory;
mod pool;
mod process;
mod protocol;
mod rotation;
mod store;
mod telemetry;
mod tls;
mod transaction;
mod upgrade;
