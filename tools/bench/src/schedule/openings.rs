//! When the videos were opened, compared with the times at which they were to be.

use std::collections::HashMap;

use serde_json::Value;

use super::database::{Job, read_time};
use crate::error::BenchError;
use crate::sandbox::Sandbox;
use crate::time_of_day::TimeOfDay;

/// All jobs, in the order of their times.
#[derive(Debug)]
pub(super) struct Openings {
    pub(super) jobs: Vec<Opening>,
}

/// The opening of one video.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opening {
    pub(super) due_at: TimeOfDay,
    /// In seconds, negative if it was early. `None`: the video was not opened.
    pub(super) late_by: Option<f64>,
    /// Whether the job has ended well.
    pub(super) is_completed: bool,
    /// How many leases the publication took.
    pub(super) leases: u64,
}

impl Openings {
    /// `before`: the jobs before the first time, whose identifiers have the order of the times.
    pub(super) fn read(
        sandbox: &Sandbox<'_>,
        times: &[String],
        before: &HashMap<String, Job>,
        after: &HashMap<String, Job>,
    ) -> Result<Self, BenchError> {
        let shown = sandbox.send("GET", "/_sandbox/videos", &Value::Null)?;
        let videos =
            shown.pointer("/videos").and_then(Value::as_array).ok_or("the sandbox lists no videos")?;
        let opened: HashMap<u64, TimeOfDay> = videos.iter().filter_map(opened_at).collect();
        let mut ids: Vec<&String> = before.keys().collect();
        ids.sort_unstable();
        if ids.len() != times.len() {
            return Err(format!("there are {} jobs for {} times", ids.len(), times.len()).into());
        }
        let jobs = ids.into_iter().zip(times).map(|(id, at)| {
            let (Some(before), Some(after)) = (before.get(id), after.get(id)) else {
                return Err(format!("the job {id} has disappeared").into());
            };
            let due_at = read_time(at)?;
            let opened_at = opened.get(&before.video);
            Ok(Opening {
                due_at,
                late_by: opened_at.map(|opened_at| opened_at.signed_seconds_since(due_at)),
                is_completed: after.is_completed,
                leases: after.fence.saturating_sub(before.fence),
            })
        });
        Ok(Self { jobs: jobs.collect::<Result<_, BenchError>>()? })
    }
}

impl Opening {
    pub(super) fn is_lost(&self) -> bool {
        self.late_by.is_none() || !self.is_completed
    }

    pub(super) fn is_opened_after(&self, at: TimeOfDay) -> bool {
        self.late_by.is_some_and(|seconds| self.due_at.signed_seconds_since(at) + seconds > 0.0)
    }
}

/// The number of a video that is open, and when it was first opened.
fn opened_at(video: &Value) -> Option<(u64, TimeOfDay)> {
    let number = video.get("uri")?.as_str()?.strip_prefix("/videos/")?.parse().ok()?;
    if video.get("view")?.as_str()? != "anybody" {
        return None;
    }
    let is_opening = |change: &&Value| change.get("view").and_then(Value::as_str) == Some("anybody");
    let change = video.get("view_changes")?.as_array()?.iter().find(is_opening)?;
    Some((number, TimeOfDay::read(change.get("at")?.as_str()?)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_video_was_opened_when_its_view_first_became_the_requested_one() {
        let change = |view, at| json!({"view": view, "at": at});
        let video = |view, changes| json!({"uri": "/videos/7", "view": view, "view_changes": changes});
        let changes = json!([
            change("nobody", "2026-01-31T09:00:00Z"),
            change("anybody", "2026-01-31T09:00:01.5Z"),
            change("nobody", "2026-01-31T09:00:02Z"),
            change("anybody", "2026-01-31T09:00:03Z"),
        ]);
        let at = TimeOfDay::read("2026-01-31T09:00:01.5Z").unwrap();
        assert_eq!(opened_at(&video("anybody", changes.clone())), Some((7, at)));
        assert_eq!(opened_at(&video("nobody", changes)), None, "it was closed again");
        assert_eq!(opened_at(&video("anybody", json!([]))), None, "it was open from the start");
    }
}
