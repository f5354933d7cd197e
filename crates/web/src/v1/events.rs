//! A job as a stream of server-sent events: the object whenever it has changed, until it is over.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hasher as _};
use std::time::Duration;

use app::{Caller, Error};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use domain::job::{Job, JobId};
use futures_util::stream::{self, Stream, StreamExt as _};

use super::job::job_object;
use super::jobs::job_id;
use crate::Shared;
use crate::auth::Authenticated;
use crate::error::Problem;
use crate::headers::LAST_EVENT_ID;
use crate::openapi;

/// How often a job is looked at: any node may be working on it. A key that is revoked opens a stream no longer than this.
const LOOK_INTERVAL: Duration = Duration::from_millis(900);
/// How long nothing is said at most, so that nobody between us and the client takes the stream for dead.
const SILENCE: Duration = Duration::from_secs(15);
/// When a client comes back whose stream was cut off.
const RETRY: Duration = Duration::from_secs(2);
/// What the events are called.
const EVENT_NAME: &str = "job";
/// Tells nginx, and those who do as it does, to pass each event on at once.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Watch an upload
///
/// Server-sent events: each is named `job` and has the job, as `get_job` shows it, on one line. The first comes at once,
/// unless `Last-Event-ID` names it; then one whenever the job has changed, which is looked for every second. The stream
/// ends with the event that shows the job's end.
#[utoipa::path(
    get, path = "/v1/jobs/{jobId}/events", operation_id = "watch_job", tag = "Uploads",
    params(openapi::JobIdPath, openapi::LastEventIdHeader),
    responses(
        (status = 200, description = "The events.", content_type = "text/event-stream", body = String,
            headers(("X-Accel-Buffering" = String, description = "Always `no`: events are passed on at once."))),
        (status = 204, description = "The job is over, and `Last-Event-ID` says that its end was seen: a browser asks no more."),
        openapi::GetJobRefusals,
    ),
)]
pub(crate) async fn watch_job(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = job_id(id)?;
    let job = shared.app.find_job(&caller, &id).await?;
    let seen = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut view = View { seen };
    let first = view.look(&job);
    if first.is_none() && job.state.is_over() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let watch = Watch { shared, caller, id, view, is_over: job.state.is_over() };
    let events = stream::iter([Some(Event::default().retry(RETRY)), first.map(Told::into_event)])
        .filter_map(std::future::ready)
        .chain(watch.changes())
        .map(Ok::<_, Infallible>);
    let alive = KeepAlive::new().interval(SILENCE).text("still here");
    let mut response = Sse::new(events).keep_alive(alive).into_response();
    response.headers_mut().insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}

/// What a client has seen of a job.
struct View {
    seen: Option<String>,
}

/// A job as it is told.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    /// Another one whenever the object is another one.
    id: String,
    /// The object, on one line.
    data: String,
}

impl View {
    /// What there is to tell; `None` if the client has seen it.
    fn look(&mut self, job: &Job) -> Option<Told> {
        // JSON is UTF-8.
        let data = String::from_utf8(job_object(job, None)).unwrap_or_default();
        let mut hasher = DefaultHasher::new();
        hasher.write(data.as_bytes());
        // Of what is shown alone: a job that waits is written again and again, and looks the same.
        let id = format!("{:016x}", hasher.finish());
        if self.seen.as_ref() == Some(&id) {
            return None;
        }
        self.seen = Some(id.clone());
        Some(Told { id, data })
    }
}

impl Told {
    fn into_event(self) -> Event {
        Event::default().event(EVENT_NAME).id(self.id).data(self.data)
    }
}

/// Somebody who watches a job.
struct Watch {
    shared: Shared,
    caller: Caller,
    id: JobId,
    view: View,
    is_over: bool,
}

/// What a look led to.
enum Look {
    /// To something new.
    New(Told),
    /// To nothing; or nobody could look.
    Nothing,
    /// There is nothing to be seen any more, or not for this client.
    End,
}

impl Watch {
    /// What changes from now on, until the job is over, its watcher's key is no longer good, or the service stops.
    fn changes(self) -> impl Stream<Item = Event> {
        stream::unfold(self, |mut watch| async move {
            let stopping = watch.shared.settings.stopping.clone();
            let event = stopping.run_until_cancelled(watch.next_change()).await??;
            Some((event, watch))
        })
    }

    async fn next_change(&mut self) -> Option<Event> {
        while !self.is_over {
            tokio::time::sleep(LOOK_INTERVAL).await;
            match self.look().await {
                Look::New(told) => return Some(told.into_event()),
                Look::Nothing => {}
                Look::End => return None,
            }
        }
        None
    }

    /// The key first: whoever lost it sees nothing of what came after.
    async fn look(&mut self) -> Look {
        match self.shared.app.is_still_welcome(&self.caller).await {
            Ok(true) => {}
            Ok(false) => return Look::End,
            Err(error) => return nobody_could_look(&error),
        }
        match self.shared.app.find_job(&self.caller, &self.id).await {
            Ok(job) => {
                self.is_over = job.state.is_over();
                self.view.look(&job).map_or(Look::Nothing, Look::New)
            }
            Err(Error::JobNotFound) => Look::End,
            Err(error) => nobody_could_look(&error),
        }
    }
}

/// The database may be back in a moment, and a browser that is refused does not come back by itself.
fn nobody_could_look(error: &Error) -> Look {
    tracing::debug!(%error, "a job that is watched could not be looked at");
    Look::Nothing
}

#[cfg(test)]
mod tests {
    use domain::job::JobState;

    use super::super::job::tests::{job, sending};
    use super::*;

    #[test]
    fn an_event_is_told_again_only_when_the_object_has_changed() {
        let mut view = View { seen: None };
        let first = view.look(&job(sending(1))).unwrap();
        assert_eq!(view.look(&job(sending(1))), None);
        let second = view.look(&job(sending(2))).unwrap();
        assert_ne!(first.id, second.id);
        // What is not shown is no change.
        let mut known = job(sending(2));
        known.troubles.count = 5;
        known.version += 1;
        assert_eq!(view.look(&known), None);
        let faster = Job { bytes_per_second: Some(7), ..job(sending(2)) };
        assert!(view.look(&faster).is_some());
        // A client that comes back says what it saw last.
        assert_eq!(View { seen: Some(first.id.clone()) }.look(&job(sending(1))), None);
        assert_eq!(View { seen: Some(first.id) }.look(&job(sending(2))), Some(second));
    }

    #[test]
    fn an_events_parts_fit_on_a_line_each() {
        let at = domain::time::Timestamp::from_millis(1);
        let creating = JobState::Creating(domain::job::Accepted::default().begin_creating(at));
        let warnings = vec!["two\nlines\r".to_owned()];
        let told = View { seen: None }.look(&Job { warnings, ..job(creating) }).unwrap();
        assert!(!told.data.contains(['\n', '\r']) && told.data.starts_with('{') && told.data.ends_with('}'));
        assert!(told.id.bytes().all(|byte| byte.is_ascii_graphic()), "{}", told.id);
    }
}
