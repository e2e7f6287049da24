//! Logins to the server: passwords, and what a client reads when there is none.

mod failures;
mod passwords;
