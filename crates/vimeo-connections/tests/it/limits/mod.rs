//! Limits: rates of requests, numbers of things, and requests in progress.

mod account_limits;
mod failed_keys;
mod flood;
mod rates;
mod things;
