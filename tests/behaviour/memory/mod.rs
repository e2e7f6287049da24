//! Upper bounds of the memory that pgvalet takes.

#[cfg(target_os = "linux")]
mod large;
#[cfg(target_os = "linux")]
mod named_statements;
