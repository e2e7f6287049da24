//! The embedded store as an operator meets it: killed, given other keys,
//! backed up and restored, damaged, read by somebody without its key.

#[path = "../common/mod.rs"]
mod common;

use common::{cli, moto};

mod backup;
mod durability;
mod faults;
mod kms;
mod leak;
mod place;
mod policies;
mod postgres;
mod rekey;
mod served;
mod strangers;
mod trail;
