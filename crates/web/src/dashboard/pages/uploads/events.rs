//! Uploads as streams of server-sent events for pages: only what has changed, as HTML. `dashboard.js` reads them.

use std::sync::Arc;

use app::{Caller, Error, StreamPermit, UploadCounts};
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use domain::job::{Job, JobId};
use domain::scope::Scope;
use domain::session::SessionToken;
use futures_util::stream::{self, Stream, StreamExt as _};

use super::super::super::errors::PageError;
use super::super::super::messages as m;
use super::super::super::visit::Visit;
use super::connections::Connections;
use super::filter::{Filter, Shown};
use super::job_id;
use super::list::{find_page, find_settings, tabs};
use super::present::{self, Access, ShownConnection};
use super::watch::{Snapshot, render_row, render_tabs, render_view};
use crate::Shared;
use crate::event_stream::{POLL_INTERVAL, RETRY_MILLIS, event, event_stream};
use crate::headers::LAST_EVENT_ID;

/// The uploads of the account are counted once in this number of polls: a count costs more than a page.
const COUNT_EVERY: u32 = 5;

/// What a poll found.
enum Poll {
    /// These events; empty: nothing has changed.
    Events(String),
    /// These are the last ones.
    Last(String),
    /// The session has ended.
    Closed,
}

/// Something that a page watches.
trait Watch: Send + 'static {
    fn poll(&mut self) -> impl Future<Output = Result<Poll, PageError>> + Send;
}

/// A stream of a session.
struct Watcher<W> {
    shared: Shared,
    token: SessionToken,
    watch: W,
    has_ended: bool,
    is_first: bool,
    _permit: StreamPermit,
}

pub(super) async fn watch_list(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    visit: Visit,
) -> Result<Response, PageError> {
    visit.require(Scope::UploadsRead)?;
    let caller = Arc::new(visit.person.caller.clone());
    let filter = Filter::read(query.as_deref(), |bytes| shared.app.read_job_page_key(&caller, bytes))?;
    let Shown { watched, newest, seen } = Shown::read(query.as_deref());
    let last = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok());
    let mut connections = Connections::for_caller(&caller);
    let mut rows = Vec::with_capacity(watched.len());
    for id in &watched {
        let job = match shared.app.find_job(&caller, id).await {
            Ok(job) => job,
            Err(Error::JobNotFound) => continue,
            Err(error) => return Err(error.into()),
        };
        let name = present::name(&job, find_settings(&shared, &caller, &job).await?.as_ref());
        let connection = connections.of(&shared, &caller, &job.connection_id).await?;
        rows.push(WatchedRow { job, name, connection });
    }
    let page = WatchedList {
        counts: shared.app.count_uploads(&caller).await?,
        shared: shared.clone(),
        access: Access::of(&visit),
        caller,
        filter,
        rows,
        newest,
        seen: last.map_or(seen, str::to_owned),
        before: None,
        announced_new: 0,
        polls: 0,
    };
    open(&shared, &visit, page)
}

pub(super) async fn watch_upload(
    State(shared): State<Shared>,
    id: Result<Path<String>, PathRejection>,
    visit: Visit,
) -> Result<Response, PageError> {
    visit.require(Scope::UploadsRead)?;
    let caller = Arc::new(visit.person.caller.clone());
    let job = shared.app.find_job(&caller, &job_id(id)?).await?;
    let name = present::name(&job, find_settings(&shared, &caller, &job).await?.as_ref());
    let connection = Connections::for_caller(&caller).of(&shared, &caller, &job.connection_id).await?;
    let row = WatchedRow { job, name, connection };
    let watched = WatchedUpload { shared: shared.clone(), caller, row, before: None };
    open(&shared, &visit, watched)
}

/// Opens a stream, which counts among those of the account.
fn open(shared: &Shared, visit: &Visit, watch: impl Watch) -> Result<Response, PageError> {
    let token = visit.token.clone();
    let permit = shared.app.open_stream(&visit.person.caller)?;
    let watcher =
        Watcher { shared: shared.clone(), token, watch, has_ended: false, is_first: true, _permit: permit };
    // At once, so that the browser knows that the stream is open.
    let start = Bytes::from(format!("retry: {RETRY_MILLIS}\n\n"));
    Ok(event_stream(stream::iter([start]).chain(watcher.events())))
}

impl<W: Watch> Watcher<W> {
    /// Events until nothing can change any more, the session has ended, or the service stops.
    fn events(self) -> impl Stream<Item = Bytes> {
        stream::unfold(self, |mut watcher| async move {
            let stopping = watcher.shared.settings.stopping.clone();
            let events = stopping.run_until_cancelled(watcher.next_events()).await??;
            Some((Bytes::from(events), watcher))
        })
    }

    async fn next_events(&mut self) -> Option<String> {
        while !self.has_ended {
            if !std::mem::replace(&mut self.is_first, false) {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
            match self.poll().await {
                Ok(Poll::Events(events)) if events.is_empty() => {}
                Ok(Poll::Events(events)) => return Some(events),
                Ok(Poll::Last(events)) => {
                    self.has_ended = true;
                    return Some(events);
                }
                Ok(Poll::Closed) => return None,
                // The database may recover soon, and a browser does not reconnect after an error response.
                Err(error) => tracing::debug!(?error, "watched uploads could not be read"),
            }
        }
        None
    }

    /// The session is checked first: without one, later changes must not be seen.
    async fn poll(&mut self) -> Result<Poll, PageError> {
        if self.shared.app.is_session_active(&self.token).await? {
            self.watch.poll().await
        } else {
            Ok(Poll::Closed)
        }
    }
}

/// An upload as a page names it. Its name stays as it is: it is wiped when the upload ends.
struct WatchedRow {
    job: Job,
    name: String,
    connection: ShownConnection,
}

impl WatchedRow {
    /// Takes the job as it is now; an announcement for screen readers, if its phase has changed.
    fn update(&mut self, job: Job) -> Option<String> {
        let (before, now) = (self.job.state.phase(), job.state.phase());
        self.job = job;
        (before != now).then(|| event("announce", &m::upload_is_now(&self.name, present::phase_text(now))))
    }
}

/// The uploads of a page of the list.
struct WatchedList {
    shared: Shared,
    caller: Arc<Caller>,
    access: Access,
    filter: Filter,
    /// Those that had not ended when the page was made.
    rows: Vec<WatchedRow>,
    counts: UploadCounts,
    newest: Option<JobId>,
    /// The state that the page has, until the first poll.
    seen: String,
    before: Option<Snapshot>,
    announced_new: usize,
    polls: u32,
}

impl Watch for WatchedList {
    async fn poll(&mut self) -> Result<Poll, PageError> {
        let listed = find_page(&self.shared, &self.caller, &self.filter).await?.jobs;
        let mut events = String::new();
        for row in self.rows.iter_mut().filter(|row| !row.job.state.has_ended()) {
            let job = match listed.iter().find(|job| job.id == row.job.id) {
                Some(job) => job.clone(),
                // It no longer matches the filter, or newer ones have pushed it off the page.
                None => match self.shared.app.find_job(&self.caller, &row.job.id).await {
                    Ok(job) => job,
                    Err(Error::JobNotFound) => continue,
                    Err(error) => return Err(error.into()),
                },
            };
            events.extend(row.update(job));
        }
        self.polls = self.polls.wrapping_add(1);
        if !events.is_empty() || self.polls.is_multiple_of(COUNT_EVERY) {
            self.counts = self.shared.app.count_uploads(&self.caller).await?;
        }
        events.insert_str(0, &self.changes());
        events.push_str(&self.new_ones(&listed));
        Ok(Poll::Events(events))
    }
}

impl WatchedList {
    /// The parts of the page that have changed.
    fn changes(&mut self) -> String {
        let rows = self.rows.iter().map(|WatchedRow { job, name, connection }| {
            render_row(&present::row(job, name.clone(), connection, self.access), self.access)
        });
        let now = Snapshot::new(rows.collect(), render_tabs(&tabs(&self.filter, &self.counts)));
        let id = now.id();
        let is_seen = self.before.is_none() && self.seen == id;
        let changes = if is_seen { None } else { now.changes_since(self.before.as_ref()) };
        self.before = Some(now);
        changes.map_or_else(String::new, |changes| format!("id: {id}\n{}", event("update", &changes)))
    }

    /// How many uploads are newer than those on the page, if that has changed.
    fn new_ones(&mut self, listed: &[Job]) -> String {
        if self.filter.page.is_some() {
            return String::new();
        }
        let count = listed.iter().take_while(|job| Some(&job.id) > self.newest.as_ref()).count();
        if count == std::mem::replace(&mut self.announced_new, count) {
            return String::new();
        }
        event("new", &m::uploads_new(count))
    }
}

/// An upload on its page.
struct WatchedUpload {
    shared: Shared,
    caller: Arc<Caller>,
    row: WatchedRow,
    before: Option<String>,
}

impl Watch for WatchedUpload {
    async fn poll(&mut self) -> Result<Poll, PageError> {
        let job = match self.shared.app.find_job(&self.caller, &self.row.job.id).await {
            Ok(job) => job,
            Err(Error::JobNotFound) => return Ok(Poll::Closed),
            Err(error) => return Err(error.into()),
        };
        let announcement = self.row.update(job);
        if self.row.job.state.has_ended() {
            // Other parts of the page change as well, such as its buttons.
            return Ok(Poll::Last(event("reload", "-")));
        }
        let now = render_view(present::view(&self.row.job, &self.row.connection));
        let mut events = String::new();
        if self.before.as_ref() != Some(&now) {
            events = event("update", &now);
            self.before = Some(now);
        }
        events.extend(announcement);
        Ok(Poll::Events(events))
    }
}
