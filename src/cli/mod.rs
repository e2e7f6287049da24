pub mod demo;
pub mod secret;
