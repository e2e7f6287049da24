//! A running proxy is replaced by another process, restarted beside another one, or reads its
//! configuration again, and no client notices.

mod crowd;
mod failing;
mod fleet;
mod hangups;
mod killing;
mod load;
mod package;
mod rolling;
mod scene;
mod sessions;
