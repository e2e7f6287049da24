//! What one client does must not reach another: rows, settings, roles,
//! statements, locks. A module for each kind of fault, whose head lists what it
//! tries; each case runs on every Postgres at hand, in both pool modes, and
//! straight at Postgres, which has to agree with what it expects.

#[path = "../common/mod.rs"]
mod common;
#[path = "../behaviour/raw.rs"]
#[allow(dead_code, reason = "of the behaviour tests, which use all of it")]
mod raw;

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
mod shared_text;
mod unnoticed;
mod waiting;
mod work_twice;
mod world;
