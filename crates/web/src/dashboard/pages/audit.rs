//! The audit log, and its export.

use app::AuditEventPage;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_DISPOSITION;
use axum::response::Response;
use axum::routing::get;
use domain::audit::{Action, ActorKind, AuditFilter, FilterActor};
use domain::page::PageLimit;
use domain::scope::Scope;
use domain::time::Timestamp;

use super::super::errors::PageError;
use super::super::messages as m;
use super::super::present_audit::audit_row;
use super::super::respond::{page, percent_encode};
use super::super::views::audit::{AuditFilterFields, AuditPage};
use super::super::views::parts::{Choice, Errors};
use super::super::views::shell::Section;
use super::super::visit::Visit;
use super::paging::{pager, position};
use super::sign_in::parameter;
use crate::Shared;
use crate::v1::audit::export_response;

/// Events on a page.
const PAGE: PageLimit = PageLimit::of(50);
const AUDIT: &str = "/dashboard/audit";
/// The parameters of the filters.
const FILTERS: [&str; 5] = ["after", "before", "action", "subject", "actor"];

pub(super) fn routes() -> Router<Shared> {
    Router::new().route(AUDIT, get(list)).route("/dashboard/audit/export", get(export))
}

async fn list(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    visit: Visit,
) -> Result<Response, PageError> {
    visit.require(Scope::AuditRead)?;
    let caller = &visit.person.caller;
    let query = query.as_deref();
    let before_id = position(query, |bytes| shared.app.read_audit_page_key(caller, bytes))?;
    let (filter, errors) = read_filter(query);
    let found = if errors.is_empty() {
        let filter = AuditFilter { before_id, ..filter };
        shared.app.list_audit_events(caller, &filter, PAGE).await?
    } else {
        AuditEventPage { items: Vec::new(), next: None }
    };
    let view = AuditPage {
        shell: visit.shell(Section::Audit),
        filter: fields(query, errors),
        rows: found.items.iter().map(audit_row).collect(),
        count: String::new(),
        pager: pager(AUDIT, query, found.next.as_deref()),
        export_href: export_href(query),
    };
    Ok(page(&view))
}

async fn export(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    visit: Visit,
) -> Result<Response, PageError> {
    visit.require(Scope::AuditRead)?;
    let (filter, errors) = read_filter(query.as_deref());
    if !errors.is_empty() {
        return Err(PageError::BadRequest);
    }
    let mut response = export_response(shared, visit.person.caller.into(), filter).await?;
    let file = HeaderValue::from_static("attachment; filename=\"audit-events.jsonl\"");
    response.headers_mut().insert(CONTENT_DISPOSITION, file);
    Ok(response)
}

/// The filter of a query, and what is wrong with it.
fn read_filter(query: Option<&str>) -> (AuditFilter, Errors) {
    let mut errors = Errors::default();
    let text = |name| Some(parameter(query, name).trim().to_owned()).filter(|text| !text.is_empty());
    let mut instant = |name| {
        let text = text(name)?;
        let at = read_instant(&text);
        if at.is_none() {
            errors.add(name, m::ERROR_DATE);
        }
        at
    };
    let (after, before) = (instant("after"), instant("before"));
    let action = text("action").map(|text| Action::parse(&text));
    let actor = text("actor").map(|text| text.parse::<FilterActor>().ok());
    // A select box offers valid values only.
    if action == Some(None) || actor == Some(None) {
        m::ERROR_FILTER.clone_into(&mut errors.general);
    }
    let filter = AuditFilter {
        before_id: None,
        after,
        before,
        action: action.flatten(),
        subject: text("subject"),
        actor: actor.flatten(),
    };
    (filter, errors)
}

/// What `datetime-local` sends, as UTC.
fn read_instant(text: &str) -> Option<Timestamp> {
    let seconds = if text.len() == "2026-01-31T09:05".len() { ":00" } else { "" };
    Timestamp::parse(&format!("{text}{seconds}Z")).ok()
}

fn fields(query: Option<&str>, errors: Errors) -> AuditFilterFields {
    let text = |name| parameter(query, name);
    let (action, actor) = (text("action"), text("actor"));
    let any = || Choice::new("", m::ANY);
    let actions = Action::ALL.map(|action| Choice::new(action.as_str(), m::action(action)));
    let mut actors: Vec<_> =
        ActorKind::ALL.map(|kind| Choice::new(kind.as_str(), m::actor_kind(kind))).into();
    // The ID of a key, from a link.
    if !actor.is_empty() && !actors.iter().any(|choice| choice.value == actor) {
        actors.push(Choice::new(&actor, &actor));
    }
    let chosen = |choices: Vec<Choice>, value: &str| {
        std::iter::once(any()).chain(choices).map(|choice| choice.chosen_if(value)).collect()
    };
    AuditFilterFields {
        after: text("after"),
        before: text("before"),
        actions: chosen(actions.into(), &action),
        subject: text("subject"),
        actors: chosen(actors, &actor),
        is_active: FILTERS.iter().any(|name| !text(name).is_empty()),
        errors,
    }
}

fn export_href(query: Option<&str>) -> String {
    let pairs = FILTERS.map(|name| (name, parameter(query, name)));
    let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
    let pairs: Vec<_> = pairs.map(|(name, value)| format!("{name}={}", percent_encode(value))).collect();
    if pairs.is_empty() { format!("{AUDIT}/export") } else { format!("{AUDIT}/export?{}", pairs.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_of_the_form_is_read_as_utc() {
        let query = "after=2026-01-31T09%3A05&before=&action=sign_in&subject=+x+&actor=session";
        let (filter, errors) = read_filter(Some(query));
        assert!(errors.is_empty());
        assert_eq!(filter.after, Some(Timestamp::from_millis(1_769_850_300_000)));
        assert_eq!((filter.before, filter.action), (None, Some(Action::SignIn)));
        assert_eq!(filter.subject.as_deref(), Some("x"));
        assert_eq!(filter.actor, Some(FilterActor::Kind(ActorKind::Session)));
        assert_eq!(read_filter(None).0, AuditFilter::default());
    }

    #[test]
    fn what_is_wrong_with_a_filter_is_shown_at_its_field() {
        let (_, errors) = read_filter(Some("after=yesterday&before=2026-13-01T00:00"));
        assert!(errors.of("after").is_some() && errors.of("before").is_some());
        let (filter, errors) = read_filter(Some("action=fly&actor=someone"));
        assert!(!errors.general.is_empty() && filter.action.is_none() && filter.actor.is_none());
    }

    #[test]
    fn the_export_has_the_filters_of_the_page() {
        assert_eq!(export_href(None), "/dashboard/audit/export");
        let href = export_href(Some("after=2026-01-31T09%3A05&action=&subject=a%26b&page=x"));
        assert_eq!(href, "/dashboard/audit/export?after=2026-01-31T09%3A05&subject=a%26b");
    }
}
