//! The list of connections.

use app::{ConnectionFilter, SearchText};
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use domain::connection::Availability;
use domain::health::HealthStatus;
use domain::page::PageLimit;
use domain::scope::Scope;

use super::super::errors::PageError;
use super::super::messages as m;
use super::super::respond::{number, page};
use super::super::views::connections::{self as views, ConnectionsPage};
use super::super::views::parts::Choice;
use super::super::views::shell::Section;
use super::super::visit::Visit;
use super::authorization::waiting_rows;
use super::paging::{pager, position};
use super::present_connections as present;
use super::sign_in::parameter;
use crate::Shared;

/// The path of the list.
pub(super) const LIST: &str = "/dashboard/connections";
/// The rows of a page.
const ROWS: PageLimit = PageLimit::of(50);
/// More connections are not counted: counting them would take longer than listing a page.
const COUNTED_MAX: u64 = 1_000;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route(LIST, get(list))
        .merge(super::connection::routes())
        .merge(super::connection_new::routes())
        .merge(super::connection_edit::routes())
        .merge(super::connection_credentials::routes())
        .merge(super::connection_delete::routes())
}

/// The filters of a query, as they were entered and as they were understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Asked {
    search: String,
    filter: ConnectionFilter,
}

impl Asked {
    /// A value that no form sends is no filter.
    fn parse(query: Option<&str>) -> Self {
        let search = parameter(query, "search");
        let filter = ConnectionFilter {
            text: SearchText::parse(&search),
            health: HealthStatus::parse(&parameter(query, "health")),
            availability: availability(&parameter(query, "enabled")),
        };
        Self { search: search.trim().to_owned(), filter }
    }

    fn view(&self) -> views::ConnectionFilter {
        let health = self.filter.health.map_or("", HealthStatus::as_str);
        let enabled = self.filter.availability.map_or("", enabled_text);
        let any = || Choice::new("", m::ANY);
        let statuses = HealthStatus::ALL
            .map(|status| Choice::new(status.as_str(), present::status(status).text()).chosen_if(health));
        let availabilities = [(Availability::Enabled, m::ENABLED), (Availability::Disabled, m::DISABLED)]
            .map(|(value, label)| Choice::new(enabled_text(value), label).chosen_if(enabled));
        views::ConnectionFilter {
            search: self.search.clone(),
            health: [any()].into_iter().chain(statuses).collect(),
            enabled: [any()].into_iter().chain(availabilities).collect(),
            is_active: !self.filter.is_empty(),
        }
    }
}

const fn enabled_text(availability: Availability) -> &'static str {
    match availability {
        Availability::Enabled => "true",
        Availability::Disabled => "false",
    }
}

fn availability(text: &str) -> Option<Availability> {
    [Availability::Enabled, Availability::Disabled].into_iter().find(|value| enabled_text(*value) == text)
}

async fn list(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    visit: Visit,
) -> Result<Response, PageError> {
    visit.require(Scope::ConnectionsRead)?;
    let (app, caller) = (&shared.app, &visit.person.caller);
    let asked = Asked::parse(query.as_deref());
    let after = position(query.as_deref(), |bytes| app.read_page_key(caller, bytes))?;
    let found = app.search_connections(caller, &asked.filter, after.as_ref(), ROWS).await?;
    let count = app.count_connections(caller, COUNTED_MAX).await?;
    let rows: Vec<_> = found.items.iter().map(present::row).collect();
    let total = present::count_text(count);
    let count_text = if asked.filter.is_empty() {
        total
    } else {
        m::connection_matches(&number(rows.len() as u64), &total)
    };
    Ok(page(&ConnectionsPage {
        shell: visit.shell(Section::Connections),
        rows,
        filter: asked.view(),
        count: count_text,
        note: found.stopped_after.map_or_else(String::new, |count| m::search_stopped(&number(count))),
        pager: pager(LIST, query.as_deref(), found.next.as_deref()),
        can_write: visit.may(Scope::ConnectionsWrite),
        waiting: waiting_rows(&shared, &visit).await?,
        is_first_visit: count == app::ConnectionCount::Exactly(0),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_and_shown() {
        let asked = Asked::parse(Some("search=+a%26b+&health=unhealthy&enabled=false&page=x"));
        assert_eq!(asked.filter.health, Some(HealthStatus::Unhealthy));
        assert_eq!(asked.filter.availability, Some(Availability::Disabled));
        assert_eq!(asked.filter.text, SearchText::parse("A&B"));
        let view = asked.view();
        let chosen = |choices: &[Choice]| {
            choices
                .iter()
                .filter(|choice| choice.is_chosen)
                .map(|choice| choice.value.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (chosen(&view.health), chosen(&view.enabled)),
            (vec!["unhealthy".into()], vec!["false".into()])
        );
        assert!(view.is_active);
    }

    #[test]
    fn a_value_that_no_form_sends_is_no_filter() {
        for query in
            [None, Some(""), Some("search=++&health=&enabled="), Some("health=Healthy&enabled=1&other=x")]
        {
            assert!(Asked::parse(query).filter.is_empty(), "{query:?}");
        }
    }
}
