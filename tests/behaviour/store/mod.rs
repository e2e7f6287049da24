//! The stores that secrets come from.

mod api;
mod aws;
