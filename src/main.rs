//! The binary: the allocator, and the command line of [`pgvalet::cli`].

use std::alloc::System;
use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

/// Wipes memory when it is freed: passwords pass through buffers of libraries (JSON, HTTP,
/// TLS) that do not wipe them. SQLite has an allocator of its own, and sees only sealed
/// values.
#[global_allocator]
static MEMORY: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    pgvalet::cli::main()
}
