//! The audit log of a running proxy.

mod faults;
mod reconcile;
mod sinks;
mod summaries;
mod uses;
