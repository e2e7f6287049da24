//! A running proxy is replaced by another process, and no client notices.

mod failing;
mod fleet;
mod load;
mod scene;
mod sessions;
