//! The stores that secrets come from.

mod agent;
mod api;
mod aws;
mod several;
