//! The dashboard: its pages and forms over HTTP, as a browser without scripts uses them.

pub(crate) mod session;
pub(crate) mod upload_files;
pub(crate) mod upload_forms;
pub(crate) mod upload_streams;
pub(crate) mod uploads;
