//! A running proxy is replaced by another process, and no client notices.

mod failing;
mod load;
mod scene;
mod sessions;
