//! The client of Vimeo's API for videos and uploads, against the sandbox without the service.

pub(crate) mod refusals;
pub(crate) mod upload_links;
pub(crate) mod upload_servers;
pub(crate) mod videos;
