//! The requests that the sandbox received, counted from its journal. The journal keeps the last 10,000, so it is read while
//! the uploads run.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use serde_json::Value;

use crate::error::BenchError;
use crate::sandbox::Sandbox;

/// Entries read at a time.
const PAGE: usize = 2_000;

/// Requests by what they were for. An upload's requests are the creation of its video and all that name the video; requests
/// that name none, such as listings, belong to the uploads whose videos were created at that time.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// The number of the last entry that was read.
    last: u64,
    /// The entries that created a video.
    creations: Vec<u64>,
    by_video: HashMap<u64, u64>,
    /// The entries that name no video and create none.
    others: Vec<u64>,
    /// Requests with bytes, or about them, at upload links. They are not requests to the API.
    at_links: u64,
    by_route: BTreeMap<String, u64>,
}

impl Requests {
    /// Counts from now on.
    pub(super) fn start(sandbox: &Sandbox<'_>) -> Result<Self, BenchError> {
        let last = entries(sandbox, "limit=1")?.last().map_or(Ok(0), number_of)?;
        Ok(Self { last, ..Self::default() })
    }

    /// Reads what has been added to the journal.
    pub(super) fn read(&mut self, sandbox: &Sandbox<'_>) -> Result<(), BenchError> {
        loop {
            let entries = entries(sandbox, &format!("after={}&limit={PAGE}", self.last))?;
            for entry in &entries {
                let number = number_of(entry)?;
                if number != self.last + 1 {
                    return Err(
                        format!("the journal lost the entries before {number}: read it more often").into()
                    );
                }
                let text = |name| entry.get(name).and_then(Value::as_str).unwrap_or_default();
                self.add(number, text("method"), text("path"), text("route"));
            }
            if entries.len() < PAGE {
                return Ok(());
            }
        }
    }

    pub(super) fn add(&mut self, number: u64, method: &str, path: &str, route: &str) {
        self.last = number;
        if path.starts_with("/files/") {
            self.at_links += 1;
            return;
        }
        *self.by_route.entry(route.to_owned()).or_default() += 1;
        match video_of(path) {
            Some(video) => *self.by_video.entry(video).or_default() += 1,
            None if method == "POST" && path.ends_with("/videos") => self.creations.push(number),
            None => self.others.push(number),
        }
    }

    /// How many videos were created.
    pub(super) fn creations(&self) -> usize {
        self.creations.len()
    }

    /// Requests at upload links.
    pub(super) fn at_links(&self) -> u64 {
        self.at_links
    }

    /// Requests to the API, by route.
    pub(super) fn by_route(&self) -> &BTreeMap<String, u64> {
        &self.by_route
    }

    /// How many requests to the API the uploads of those places in the order of creation took. `videos` are the numbers of
    /// all videos in that order.
    pub(super) fn of_uploads(&self, places: Range<usize>, videos: &[u64]) -> u64 {
        let own = videos.get(places.clone()).unwrap_or_default();
        let own: u64 = own.iter().filter_map(|video| self.by_video.get(video)).sum();
        let created = self.creations.get(places.clone()).map_or(0, <[u64]>::len) as u64;
        let from = if places.start == 0 { 0 } else { self.creation_at(places.start) };
        let to = self.creation_at(places.end);
        let meanwhile = self.others.iter().filter(|number| (from..to).contains(*number)).count() as u64;
        own + created + meanwhile
    }

    /// The entry that created the video of that place.
    fn creation_at(&self, place: usize) -> u64 {
        self.creations.get(place).copied().unwrap_or(u64::MAX)
    }
}

fn entries(sandbox: &Sandbox<'_>, query: &str) -> Result<Vec<Value>, BenchError> {
    let mut journal = sandbox.send("GET", &format!("/_sandbox/journal?{query}"), &Value::Null)?;
    match journal.get_mut("requests").map(Value::take) {
        Some(Value::Array(entries)) => Ok(entries),
        _ => Err("the sandbox's journal has no requests".into()),
    }
}

fn number_of(entry: &Value) -> Result<u64, BenchError> {
    Ok(entry.get("number").and_then(Value::as_u64).ok_or("an entry of the journal has no number")?)
}

/// The number of the video that a path names: `/videos/N`, `/me/videos/N/versions` and the like.
fn video_of(path: &str) -> Option<u64> {
    let (_, rest) = path.split_once("/videos/")?;
    rest.split(['/', ':']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_belongs_to_the_video_that_its_path_names() {
        assert_eq!(video_of("/videos/7"), Some(7));
        assert_eq!(video_of("/me/videos/7/versions"), Some(7));
        assert_eq!(video_of("/me/videos"), None);
        assert_eq!(video_of("/videos/"), None);
    }

    #[test]
    fn requests_are_counted_for_the_uploads_that_they_were_made_for() {
        let mut requests = Requests::default();
        let journal = [
            ("GET", "/me/videos"),
            ("POST", "/me/videos"),
            ("PATCH", "/files/vimeo-prod-src-tus-eu/fingerprint:0"),
            ("POST", "/me/videos"),
            ("GET", "/videos/11"),
            ("GET", "/me/videos"),
            ("GET", "/videos/10"),
            ("PATCH", "/videos/11"),
        ];
        for (number, (method, path)) in (1..).zip(journal) {
            requests.add(number, method, path, path);
        }
        // The first listing, a creation and one look; then a creation, two of its own and the second listing.
        assert_eq!(requests.of_uploads(0..1, &[10, 11]), 3);
        assert_eq!(requests.of_uploads(1..2, &[10, 11]), 4);
        assert_eq!(requests.of_uploads(0..2, &[10, 11]), 7);
        assert_eq!((requests.creations(), requests.at_links()), (2, 1));
    }
}
