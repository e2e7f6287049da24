//! The embedded store as an operator meets it: killed, given other keys,
//! backed up and restored, damaged, read by somebody without its key.

#[path = "../common/cli.rs"]
mod cli;
#[path = "../common/moto.rs"]
mod moto;

mod backup;
mod durability;
mod faults;
mod kms;
mod leak;
mod place;
mod policies;
mod rekey;
mod served;
mod strangers;
mod trail;
