//! Identities of clients, how they are proven, and what they may do.

mod aws_iam;
mod certificate;
mod denial;
mod proxy_protocol;
mod revoked;
mod rule_limits;
mod token;
mod users;
