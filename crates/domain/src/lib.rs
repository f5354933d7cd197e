//! The nouns of the service and their rules: what a connection, a name, a key may be.
//! Knows no clock, no I/O, no serialization: time and randomness are passed in.
//! Invariant: a value of one of these types passed the rules of its type when it came in; only the store, which
//! gives back what came in that way, builds one without asking (`from_stored`).

pub mod account;
pub mod api_key;
pub mod audit;
pub mod connection;
pub mod faults;
pub mod id;
pub mod idempotency;
pub mod job;
mod key_strength;
pub mod page;
pub mod secret;
pub mod text;
pub mod time;
pub mod upload;
pub mod video;
