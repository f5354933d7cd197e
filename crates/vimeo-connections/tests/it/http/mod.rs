//! HTTP behaviour that all routes share, and the description of the API.

pub(crate) mod browsers;
pub(crate) mod example_clients;
pub(crate) mod golden;
pub(crate) mod headers;
pub(crate) mod openapi_conformance;
pub(crate) mod protocol;
pub(crate) mod unread_responses;
