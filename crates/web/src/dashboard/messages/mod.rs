//! All texts of the dashboard's pages. Templates contain no prose; they name these constants.
//!
//! An error says what happened, to which thing, and what to do next.

mod actions;
mod common;
mod connect;
mod connections;
mod failures;
mod handlers;
mod hosted;
mod keys;
mod settings;
mod sign_in;
mod uploads;
mod webhooks;

pub(crate) use actions::*;
pub(crate) use common::*;
pub(crate) use connect::*;
pub(crate) use connections::*;
pub(crate) use failures::*;
pub(crate) use handlers::*;
pub(crate) use hosted::*;
pub(crate) use keys::*;
pub(crate) use settings::*;
pub(crate) use sign_in::*;
pub(crate) use uploads::*;
pub(crate) use webhooks::*;
