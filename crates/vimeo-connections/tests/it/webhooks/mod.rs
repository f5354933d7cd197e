//! Webhook endpoints of accounts, and what is delivered to them.

mod deliveries;
mod disabling;
mod endpoints;
mod health;
mod schedules;
mod secrets;
mod signatures;
