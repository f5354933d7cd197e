//! Tests of the sandbox over TCP, as a client uses it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "an unexpected result fails the test at that line"
)]

mod apps;
mod authorization_codes;
mod banner;
mod body_errors;
mod browser_pages;
mod chapters;
mod client_disconnects;
mod command_line;
mod consent;
mod controls;
mod dashboard;
mod delayed_faults;
mod device_flow;
mod error_responses;
mod fault_effects;
mod fault_selection;
mod fault_timing;
mod faults;
mod folders;
mod form_uploads;
mod host_header;
mod journal;
mod journal_live;
mod malformed_requests;
mod me;
mod model;
mod oauth;
mod official_clients;
mod open_mode;
mod privacies;
mod publication;
mod pulls;
mod rate_limits;
mod redirect_uris;
mod restricted_quota;
mod setting_errors;
mod showcases;
mod state_file;
mod state_upgrades;
mod support;
mod tags;
mod text_tracks;
mod thumbnail_images;
mod token_controls;
mod token_usage;
mod tus;
mod tus_clients;
mod upload_access;
mod upload_offsets;
mod upload_stages;
mod versions;
mod videos;
