use std::alloc::System;
use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

/// Memory is wiped when it is freed: passwords pass through buffers of libraries
/// (JSON, HTTP, TLS) that nobody else wipes. SQLite has an allocator of its own,
/// and sees only what is sealed.
#[global_allocator]
static MEMORY: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    pgvalet::cli::main()
}
