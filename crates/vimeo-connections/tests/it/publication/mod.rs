//! Everything that a video is published with: text tracks, a thumbnail, tags, showcases, chapters, a preset, the time at
//! which it opens, and the replacement of its file.

mod everything;
mod fixtures;
mod kills;
mod lost_answers;
mod publish_time;
mod random_schedules;
mod refusals;
mod replacement;
mod replacement_kills;
mod schedules;
mod source_headers;
