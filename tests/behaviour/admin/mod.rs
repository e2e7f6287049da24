//! The admin listener, its pages and metrics, and the log.

mod changes;
mod dashboard;
mod logging;
mod page;
mod routes;
