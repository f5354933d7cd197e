//! The list of uploads, and cancelling several.

use app::{Caller, Error, UploadCounts};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use domain::audit::Action;
use domain::job::{Job, JobId, JobPhase, JobStatus};
use domain::scope::Scope;

use super::super::super::errors::PageError;
use super::super::super::messages as m;
use super::super::super::respond::{Notice, local_path, number, page, redirect_with};
use super::super::super::views::parts::Choice;
use super::super::super::views::shell::Section;
use super::super::super::views::uploads::{CancelUploadsPage, StateTab, UploadsPage};
use super::super::super::visit::{Submission, Visit};
use super::super::paging::pager;
use super::connections::{Connections, filter_choices};
use super::filter::{Filter, LIST, PAGE_ITEMS, Shown};
use super::present::{self, Access};
use super::watch::{Snapshot, render_row, render_tabs};
use crate::Shared;

/// More than a page has, and few enough for one request.
const CANCELLED_MAX: usize = 100;

/// A page of jobs.
pub(super) struct JobsOnPage {
    pub(super) jobs: Vec<Job>,
    /// The page key of the next page.
    next: Option<Vec<u8>>,
}

pub(super) async fn list_page(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    visit: Visit,
) -> Result<Response, PageError> {
    visit.require(Scope::UploadsRead)?;
    let (caller, access) = (&visit.person.caller, Access::of(&visit));
    let filter = Filter::read(query.as_deref(), |bytes| shared.app.read_job_page_key(caller, bytes))?;
    let found = find_page(&shared, caller, &filter).await?;
    let counts = shared.app.count_uploads(caller).await?;
    let mut connections = Connections::for_caller(caller);
    let listed = connections.list(&shared, caller).await?;
    let mut rows = Vec::with_capacity(found.jobs.len());
    for job in &found.jobs {
        let settings = find_settings(&shared, caller, job).await?;
        let connection = connections.of(&shared, caller, &job.connection_id).await?;
        rows.push(present::row(job, present::name(job, settings.as_ref()), &connection, access));
    }
    let watched: Vec<_> = found.jobs.iter().filter(|job| !job.state.has_ended()).collect();
    let tabs = tabs(&filter, &counts);
    let is_watched = |id: &str| watched.iter().any(|job| job.id.as_str() == id);
    let rendered = rows.iter().filter(|row| is_watched(&row.id)).map(|row| render_row(row, access));
    let seen = Snapshot::new(rendered.collect(), render_tabs(&tabs)).id();
    let newest = found.jobs.first().filter(|_| filter.page.is_none()).map(|job| job.id.clone());
    let shown = Shown { watched: watched.iter().map(|job| job.id.clone()).collect(), newest, seen };
    let chosen = filter.connection.as_deref().unwrap_or_default();
    Ok(page(&UploadsPage {
        shell: visit.shell(Section::Uploads),
        status: filter.status.map_or("", JobStatus::as_str).to_owned(),
        phases: phases(filter.phase),
        connections: filter_choices(&listed, chosen),
        is_filtered: filter.is_filtered(),
        count: count_text(&filter, &counts, rows.len()),
        pager: pager(LIST, query.as_deref(), found.next.as_deref()),
        href: filter.href(),
        events_href: filter.events_href(&shown),
        can_write: access == Access::Write,
        is_first_visit: counts.counts.total() == 0,
        tabs,
        rows,
    }))
}

/// The jobs of a page.
pub(super) async fn find_page(
    shared: &Shared,
    caller: &Caller,
    filter: &Filter,
) -> Result<JobsOnPage, PageError> {
    let Some(wanted) = filter.of_store() else {
        return Ok(JobsOnPage { jobs: Vec::new(), next: None });
    };
    let found = shared.app.list_jobs(caller, &wanted, PAGE_ITEMS).await?;
    Ok(JobsOnPage { jobs: found.items, next: found.next })
}

/// The settings of a job, which name it. A completed or cancelled one has none any more.
pub(super) async fn find_settings(
    shared: &Shared,
    caller: &Caller,
    job: &Job,
) -> Result<Option<domain::upload::UploadSettings>, Error> {
    match job.state.phase() {
        JobPhase::Completed | JobPhase::Cancelled => Ok(None),
        JobPhase::Queued
        | JobPhase::Creating
        | JobPhase::Uploading
        | JobPhase::Configuring
        | JobPhase::Transcoding
        | JobPhase::Scheduled
        | JobPhase::Publishing
        | JobPhase::CleaningUp
        | JobPhase::Failed => shared.app.find_upload_settings(caller, job).await,
    }
}

/// The tabs. The numbers are those of the account, so they are left out if only some uploads are listed.
pub(super) fn tabs(filter: &Filter, counts: &UploadCounts) -> Vec<StateTab> {
    let tab = |status: Option<JobStatus>| StateTab {
        href: filter.tab(status),
        label: status.map_or(m::TAB_ALL, present::status_text).to_owned(),
        count: if filter.is_narrow() { String::new() } else { counted(status, counts) },
        is_current: filter.status == status,
    };
    std::iter::once(None).chain(JobStatus::ALL.into_iter().map(Some)).map(tab).collect()
}

/// How many uploads have a status. Of an account with more uploads than are counted, at least this many.
fn counted(status: Option<JobStatus>, counts: &UploadCounts) -> String {
    let count = status.map_or(counts.counts.total(), |status| counts.counts.with(status));
    match (count, counts.has_more) {
        (count, false) => number(count),
        (0, true) => String::new(),
        (count, true) => m::at_least(&number(count)),
    }
}

fn count_text(filter: &Filter, counts: &UploadCounts, rows: usize) -> String {
    let counted = counted(filter.status, counts);
    if filter.is_narrow() || counted.is_empty() {
        m::uploads_on_page(rows)
    } else {
        m::uploads_count(&counted)
    }
}

fn phases(chosen: Option<JobPhase>) -> Vec<Choice> {
    let any = Choice::new("", m::ANY);
    let phases =
        JobPhase::ALL.into_iter().map(|phase| Choice::new(phase.as_str(), present::phase_text(phase)));
    let chosen = chosen.map_or("", JobPhase::as_str);
    std::iter::once(any).chain(phases).map(|choice| choice.chosen_if(chosen)).collect()
}

/// Cancels the chosen uploads, once the person has confirmed it. IDs that are not found are left out.
pub(super) async fn cancel_uploads(
    State(shared): State<Shared>,
    sent: Submission,
) -> Result<Response, PageError> {
    let Submission { visit, form, .. } = &sent;
    visit.require_to_change(&shared, Scope::UploadsWrite, (Action::CancelUpload, None)).await?;
    let caller = &visit.person.caller;
    let ids: Vec<_> = form.all("jobId").collect();
    if ids.len() > CANCELLED_MAX {
        return Err(PageError::BadRequest);
    }
    let is_own = |path: &&str| {
        path.strip_prefix(LIST).is_some_and(|rest| rest.is_empty() || rest.starts_with(['?', '/']))
    };
    let back = local_path(form.text("back")).filter(is_own).unwrap_or(LIST).to_owned();
    let mut chosen = Vec::new();
    for id in ids.iter().filter_map(|id| JobId::parse(id)) {
        match shared.app.find_job(caller, &id).await {
            Ok(job) if present::can_be_cancelled(&job) => chosen.push(job),
            Ok(_) | Err(Error::JobNotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if chosen.is_empty() {
        let notice = if ids.is_empty() { Notice::NothingSelected } else { Notice::UploadHasEnded };
        return Ok(redirect_with(&back, notice));
    }
    if !form.is_checked("confirmed") {
        return confirm_page(&shared, visit, &chosen, back).await;
    }
    for job in &chosen {
        match shared.app.cancel_upload(caller, job.id.as_str()).await {
            Ok(()) | Err(Error::JobNotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let notice = if chosen.len() == 1 { Notice::UploadCancelled } else { Notice::UploadsCancelled };
    Ok(redirect_with(&back, notice))
}

async fn confirm_page(
    shared: &Shared,
    visit: &Visit,
    chosen: &[Job],
    back_href: String,
) -> Result<Response, PageError> {
    let mut uploads = Vec::with_capacity(chosen.len());
    for job in chosen {
        let settings = find_settings(shared, &visit.person.caller, job).await?;
        uploads.push((job.id.to_string(), present::name(job, settings.as_ref())));
    }
    Ok(page(&CancelUploadsPage { shell: visit.shell(Section::Uploads), uploads, back_href }))
}

#[cfg(test)]
mod tests {
    use app::StatusCounts;

    use super::*;

    fn read(query: &str) -> Filter {
        Filter::read(Some(query), |_| None).unwrap()
    }

    fn counts(has_more: bool) -> UploadCounts {
        let counts = StatusCounts { in_progress: 3, completed: 1_200, failed: 0, cancelled: 1 };
        UploadCounts { counts, has_more }
    }

    fn texts(query: &str, has_more: bool) -> Vec<(String, bool)> {
        let tabs = tabs(&read(query), &counts(has_more));
        tabs.into_iter().map(|tab| (tab.count, tab.is_current)).collect()
    }

    #[test]
    fn tabs_have_the_numbers_of_the_account_if_they_are_known() {
        let expected = |numbers: [&str; 5], current: usize| {
            let tabs = numbers.into_iter().enumerate();
            tabs.map(|(place, text)| (text.to_owned(), place == current)).collect::<Vec<_>>()
        };
        assert_eq!(texts("", false), expected(["1,204", "3", "1,200", "0", "1"], 0));
        assert_eq!(texts("status=failed", true), expected(["1,204+", "3+", "1,200+", "", "1+"], 3));
        assert_eq!(texts("connection=c", false), expected([""; 5], 0));
    }

    #[test]
    fn the_count_says_what_is_known() {
        let text = |query: &str, has_more, rows| count_text(&read(query), &counts(has_more), rows);
        assert_eq!(text("", false, 50), "1,204 uploads");
        assert_eq!(text("status=cancelled", false, 1), "1 upload");
        assert_eq!(text("status=failed", true, 0), "0 uploads on this page");
        assert_eq!(text("", true, 50), "1,204+ uploads");
        assert_eq!(text("phase=queued", false, 1), "1 upload on this page");
    }

    #[test]
    fn a_page_has_50_uploads() {
        assert_eq!(PAGE_ITEMS.as_u32(), 50);
    }
}
