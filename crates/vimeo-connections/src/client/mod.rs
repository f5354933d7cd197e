//! The client of a service's HTTP API, for commands that work on a remote service. Knows nothing of the database, the
//! keyring or the configuration of the service.

mod error;
mod events;
mod http;
mod identity;
mod lines;
mod pages;
mod profiles;
mod service_url;
mod target;

pub(crate) use error::ClientError;
#[cfg(test)]
pub(crate) use error::{FieldError, Refusal};
pub(crate) use events::EventReader;
pub(crate) use http::{Answer, ApiClient, Call, STREAM_TIMEOUT};
pub(crate) use identity::Identity;
pub(crate) use service_url::ServiceUrl;
pub(crate) use target::{ServiceArguments, Target, TargetError, choose};
