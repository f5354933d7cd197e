//! The entities and value types of the service, and their rules: what a valid connection, name or key is.
//! Knows no clock, no I/O and no serialization: time and randomness are passed in.
//! Invariant: a value of one of these types has passed the checks of its type. Only the store, which returns values
//! that passed them earlier, builds values without checks (`from_stored`).

pub mod account;
pub mod api_key;
pub mod audit;
pub mod authorization;
pub mod connection;
pub mod health;
pub mod id;
pub mod idempotency;
pub mod job;
mod key_strength;
pub mod limits;
pub mod moment;
pub mod network;
pub mod page;
pub mod publication;
pub mod scope;
pub mod secret;
pub mod service_secrets;
pub mod session;
pub mod text;
pub mod time;
pub mod upload;
pub mod validation;
pub mod video;
pub mod webhook;
