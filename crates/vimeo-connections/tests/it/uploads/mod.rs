//! Uploads: sources, faults, crashes, webhooks and event streams.

pub(crate) mod after_last_byte;
pub(crate) mod after_last_byte_cli;
pub(crate) mod after_last_byte_lasting;
pub(crate) mod client_upload;
pub(crate) mod crash_recovery;
pub(crate) mod event_stream;
pub(crate) mod fault_injection;
pub(crate) mod file_servers;
pub(crate) mod happy_path;
pub(crate) mod job_list;
pub(crate) mod log;
pub(crate) mod replayed_links;
pub(crate) mod slots;
pub(crate) mod source_changes;
pub(crate) mod source_content;
pub(crate) mod source_ranges;
pub(crate) mod source_timeouts;
pub(crate) mod token_change;
pub(crate) mod tus_server;
pub(crate) mod two_nodes;
pub(crate) mod unknown_fields;
pub(crate) mod untrusted_responses;
pub(crate) mod vimeo_client;
pub(crate) mod vimeo_crashes;
pub(crate) mod webhooks;
