//! The tests of the whole: the real binary, over real sockets, against the sandbox. One file a subject.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that is surprised should fail on the spot"
)]

mod backups;
mod bad_requests;
mod browsers;
mod callers;
mod canaries;
mod changed_credentials;
mod cli_connections;
mod cli_uploads;
mod clients;
mod concurrency;
mod config_agreement;
mod config_checks;
mod conformance;
mod crashes;
mod crowds;
mod cut_offs;
mod database_passwords;
mod database_tls;
mod deletions;
mod disks;
mod edges;
mod exit_statuses;
mod exposures;
mod failover;
mod fleet;
mod golden;
mod harness;
mod http;
mod idempotency;
mod idempotency_crashes;
mod imports;
mod journey;
mod keyrings;
mod linearizability;
mod load;
mod locks;
mod moves;
mod nodes;
mod operator;
mod operator_log;
mod outages;
mod postgres;
mod races;
mod readiness;
mod refused_fields;
mod request_heads;
mod restores;
mod running;
mod sealing;
mod secrets;
mod slow_vimeo;
mod storm;
mod tidy;
mod tools;
mod unread_answers;
mod unread_logs;
mod updates;
mod uploads;
mod verification;
mod vimeo_desk;
mod vimeo_failures;
mod vimeo_links;
mod vimeo_links_served;
mod vimeo_talk;
mod vimeo_videos;
mod vimeo_videos_refused;
mod walks;
mod watching;
mod wiping;
