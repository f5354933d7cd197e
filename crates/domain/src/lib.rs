//! The nouns of the service and their rules: what a connection, a name, a key may be.
//! Pure: knows no clock, no I/O, no serialization; time and randomness are passed in.
//! Invariant: a value of one of these types has passed the rules of its type; there is no way round the parser.

pub mod account;
pub mod api_key;
pub mod audit;
pub mod connection;
pub mod id;
pub mod secret;
pub mod text;
pub mod time;
