//! The audit log of a running proxy.

mod uses;
