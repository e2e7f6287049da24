//! Clients and servers that attack.

mod clients;
mod startup_words;
mod upstream;
