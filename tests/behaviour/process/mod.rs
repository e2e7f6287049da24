//! The process: how it starts, refuses to start, reloads, gives up rights and ends.

mod bad_input;
mod descriptors;
mod ending;
#[cfg(target_os = "linux")]
mod hardening;
mod init;
mod lifecycle;
mod refusals;
mod reload;
mod reload_keys;
mod socket_unit;
