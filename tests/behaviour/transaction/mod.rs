//! State of sessions, where several clients share a server connection.

mod batches;
mod deallocate;
mod isolation;
mod leaks;
mod listen;
mod plans;
mod resets;
mod state;
