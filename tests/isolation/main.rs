//! Acts of one client must not reach another: rows, settings, roles, statements,
//! locks. Each kind of fault has a module, whose head lists what it tries; each
//! case runs on every Postgres at hand, in both pool modes, and straight at
//! Postgres, which has to agree with what it expects.

#[path = "../common/mod.rs"]
mod common;

mod found;
mod generator;
mod hostile;
mod limits;
mod local_set;
mod other_peoples;
mod over_time;
mod own_questions;
mod peer;
mod rows_cross;
mod servers_changes;
mod set_up;
mod shared_text;
mod unnoticed;
mod waiting;
mod work_twice;
mod world;
