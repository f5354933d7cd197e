//! Values of a job in columns.

use domain::job::{Kept, Target};
use domain::video::VideoNumber;

/// A number that counts, for a column. What is beyond is nothing that the service makes.
pub(crate) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(crate) fn counted(number: i64) -> Option<u64> {
    u64::try_from(number).ok()
}

pub(crate) fn small(number: i64, column: &'static str) -> Result<u32, &'static str> {
    u32::try_from(number).map_err(|_| column)
}

/// The column has one warning a line.
pub(crate) fn on_one_line(text: &str) -> String {
    text.replace(['\n', '\r', '\0'], " ")
}

/// PostgreSQL cannot store a NUL, and a job that cannot be written would be retried forever.
pub(crate) fn without_nul(text: &str) -> String {
    text.replace('\0', " ")
}

pub(crate) fn kept_as(kept: Kept) -> &'static str {
    match kept {
        Kept::Closed => "closed",
        Kept::AsIs => "as-is",
    }
}

pub(crate) fn read_kept(text: &str) -> Option<Kept> {
    [Kept::Closed, Kept::AsIs].into_iter().find(|kept| kept_as(*kept) == text)
}

pub(crate) fn listed(targets: &[Target]) -> String {
    targets.iter().map(|target| target.number().to_string()).collect::<Vec<_>>().join(" ")
}

pub(crate) fn read_list(replaces: Option<VideoNumber>, text: &str) -> Option<Vec<Target>> {
    let read = |number: &str| number.parse().ok().map(|number| Target::from_stored(replaces, number));
    text.split_whitespace().map(read).collect()
}
