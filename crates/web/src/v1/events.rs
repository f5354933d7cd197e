//! A job as a stream of server-sent events: the job whenever it has changed, until it ends.

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Arc;

use app::{Caller, Error, StreamPermit};
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use domain::job::{Job, JobId};
use futures_util::stream::{self, Stream, StreamExt as _};

use super::job::job_object;
use super::jobs::job_id;
use crate::Shared;
use crate::auth::Authenticated;
use crate::error::Problem;
use crate::event_stream::{POLL_INTERVAL, RETRY_MILLIS, event_stream};
use crate::headers::LAST_EVENT_ID;
use crate::openapi;
use crate::query::Query;

/// The name of every event.
const EVENT_NAME: &str = "job";

/// Watch an upload
///
/// Server-sent events. Each is named `job`; its data is the job, as `get_job` returns it, on one line. The first is sent
/// at once, unless `Last-Event-ID` names it; then one whenever the job has changed, within about a second. A comment line
/// is sent after 4 seconds without an event. The stream ends with the event that shows the job's end.
#[utoipa::path(
    get, path = "/v1/jobs/{jobId}/events", operation_id = "watch_job", tag = "Uploads",
    security(("apiKey" = ["uploads:read"])),
    params(openapi::JobIdPath, openapi::LastEventIdHeader, openapi::LastEventIdQuery),
    responses(
        (status = 200, description = "The events, until the job ends.", content_type = "text/event-stream", body = String,
            headers(("X-Accel-Buffering" = String, description = "Always `no`: events are passed on at once."))),
        (status = 204, description = "The job has ended and `Last-Event-ID` names its last event: a browser does not reconnect."),
        openapi::WatchJobErrors,
    ),
)]
pub(crate) async fn watch_job(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut query = Query::new(query.as_deref());
    // Clients that cannot set the header use the query.
    let in_query = query.optional("lastEventId");
    query.finish_strict()?;
    let id = job_id(id)?;
    let job = shared.app.find_job(&caller, &id).await?;
    let in_header = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut view = View { seen: in_header.or(in_query), is_retry_sent: false };
    let first = view.event_for(&job);
    if first.is_none() && job.state.has_ended() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let permit = shared.app.open_stream(&caller)?;
    let watch = Watch { shared, caller, id, view, has_ended: job.state.has_ended(), _permit: permit };
    let events = stream::iter(first).chain(watch.changes());
    Ok(event_stream(events))
}

/// What a client has received of a job.
struct View {
    /// The ID of the last event.
    seen: Option<String>,
    is_retry_sent: bool,
}

impl View {
    /// The event for a job; `None` if the client has it.
    fn event_for(&mut self, job: &Job) -> Option<Bytes> {
        // JSON is UTF-8 without line breaks.
        let data = String::from_utf8(job_object(job, None)).unwrap_or_default();
        let mut hasher = DefaultHasher::new();
        hasher.write(data.as_bytes());
        // Hashes only what is shown: a waiting job is updated often without a visible change.
        let id = format!("{:016x}", hasher.finish());
        if self.seen.as_ref() == Some(&id) {
            return None;
        }
        // Inside an event, because some clients take a block without data for a message.
        let retry = if self.is_retry_sent { String::new() } else { format!("retry: {RETRY_MILLIS}\n") };
        let event = format!("{retry}event: {EVENT_NAME}\nid: {id}\ndata: {data}\n\n");
        self.seen = Some(id);
        self.is_retry_sent = true;
        Some(event.into())
    }
}

/// A client that watches a job.
struct Watch {
    shared: Shared,
    caller: Arc<Caller>,
    id: JobId,
    view: View,
    has_ended: bool,
    _permit: StreamPermit,
}

/// The result of reading the job.
enum Poll {
    /// The job has changed.
    Event(Bytes),
    /// The job has not changed, or the database could not be read.
    Unchanged,
    /// The job no longer exists, or the client's key is no longer valid.
    Closed,
}

impl Watch {
    /// Changes from now on, until the job ends, the client's key is no longer valid, or the service stops.
    fn changes(self) -> impl Stream<Item = Bytes> {
        stream::unfold(self, |mut watch| async move {
            let stopping = watch.shared.settings.stopping.clone();
            let event = stopping.run_until_cancelled(watch.next_change()).await??;
            Some((event, watch))
        })
    }

    async fn next_change(&mut self) -> Option<Bytes> {
        while !self.has_ended {
            tokio::time::sleep(POLL_INTERVAL).await;
            match self.poll().await {
                Poll::Event(event) => return Some(event),
                Poll::Unchanged => {}
                Poll::Closed => return None,
            }
        }
        None
    }

    /// The key is checked first: a client without a valid one must not see later changes.
    async fn poll(&mut self) -> Poll {
        match self.shared.app.is_authorized(&self.caller).await {
            Ok(true) => {}
            Ok(false) => return Poll::Closed,
            Err(error) => return unreadable(&error),
        }
        match self.shared.app.find_job(&self.caller, &self.id).await {
            Ok(job) => {
                self.has_ended = job.state.has_ended();
                self.view.event_for(&job).map_or(Poll::Unchanged, Poll::Event)
            }
            Err(Error::JobNotFound) => Poll::Closed,
            Err(error) => unreadable(&error),
        }
    }
}

/// The database may recover soon, and a browser does not reconnect automatically after an error response.
fn unreadable(error: &Error) -> Poll {
    tracing::debug!(%error, "a watched job could not be read");
    Poll::Unchanged
}

#[cfg(test)]
mod tests {
    use domain::job::JobState;

    use super::super::job::tests::{job, uploading};
    use super::*;

    fn view(seen: Option<&str>) -> View {
        View { seen: seen.map(str::to_owned), is_retry_sent: false }
    }

    /// The ID of an event.
    fn id(event: &Bytes) -> &str {
        let text = std::str::from_utf8(event).unwrap();
        text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap()
    }

    #[test]
    fn an_event_is_sent_only_when_the_job_has_changed() {
        let mut watched = view(None);
        let first = watched.event_for(&job(uploading(1))).unwrap();
        assert_eq!(watched.event_for(&job(uploading(1))), None);
        let second = watched.event_for(&job(uploading(2))).unwrap();
        assert_ne!(id(&first), id(&second));
        // A change that is not shown is ignored.
        let mut known = job(uploading(2));
        known.retry.count = 5;
        known.version += 1;
        assert_eq!(watched.event_for(&known), None);
        let faster = Job { bytes_per_second: Some(7), ..job(uploading(2)) };
        assert!(watched.event_for(&faster).is_some());
        // A client that reconnects names its last event.
        assert_eq!(view(Some(id(&first))).event_for(&job(uploading(1))), None);
        let again = view(Some(id(&first))).event_for(&job(uploading(2))).unwrap();
        assert_eq!(id(&again), id(&second));
    }

    #[test]
    fn the_first_event_has_the_retry_time_and_every_block_has_data() {
        let mut watched = view(None);
        let at = domain::time::Timestamp::from_millis(1);
        let creating = JobState::Creating(domain::job::Queued::default().begin_creating(at));
        let warnings = vec!["two\nlines\r".to_owned()];
        let first = watched.event_for(&Job { warnings, ..job(creating) }).unwrap();
        let second = watched.event_for(&job(uploading(2))).unwrap();
        for (event, names) in
            [(&first, &["retry", "event", "id", "data"][..]), (&second, &["event", "id", "data"])]
        {
            let text = std::str::from_utf8(event).unwrap();
            let lines: Vec<_> = text.strip_suffix("\n\n").unwrap().split('\n').collect();
            let found: Vec<_> = lines.iter().map(|line| line.split_once(": ").unwrap().0).collect();
            assert_eq!(found, names);
            assert!(!text.contains('\r') && lines.last().unwrap().starts_with("data: {"), "{text}");
        }
        // A client that has the first event gets the retry time with the next one.
        let later = view(Some(id(&first))).event_for(&job(uploading(2))).unwrap();
        assert!(later.starts_with(b"retry: 2000\nevent: job\n"));
    }
}
