//! The page of a webhook endpoint, with its deliveries.

use app::DeliveryFilter;
use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use axum::routing::{get, post};
use domain::audit::Action;
use domain::id::EndpointId;
use domain::page::PageLimit;
use domain::webhook::{Attempt, AttemptResult, Delivery, DeliveryStatus};

use super::super::errors::PageError;
use super::super::messages as m;
use super::super::respond::{Notice, page, redirect_with, when};
use super::super::views::endpoint::{DeliveryRow, EndpointPage};
use super::super::views::parts::{Badge, Choice, Tone};
use super::super::views::shell::Section;
use super::super::visit::{Submission, Visit};
use super::paging::{pager, position};
use super::sign_in::parameter;
use super::webhooks::{WEBHOOKS, find, require, row};
use crate::Shared;

/// Deliveries on a page.
const PAGE: PageLimit = PageLimit::of(50);

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/dashboard/webhooks/{id}", get(show))
        .route("/dashboard/webhooks/{id}/deliveries/{delivery_id}/redeliver", post(redeliver))
}

async fn show(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    visit: Visit,
) -> Result<Response, PageError> {
    let shown = find(&shared, &visit, &id).await?;
    let (caller, query) = (&visit.person.caller, query.as_deref());
    let before = position(query, |bytes| shared.app.read_delivery_page_key(caller, bytes))?;
    let chosen = parameter(query, "status");
    let status = match &*chosen {
        "" => None,
        text => Some(DeliveryStatus::parse(text).map_err(|_| PageError::BadRequest)?),
    };
    let filter =
        DeliveryFilter { endpoint_id: Some(shown.endpoint.id.clone()), job_id: None, status, before };
    let found = shared.app.list_webhook_deliveries(caller, &filter, PAGE).await?;
    let endpoint = row(&shown);
    let pager = pager(&endpoint.href, query, found.next.as_deref());
    Ok(page(&EndpointPage {
        shell: visit.shell(Section::Webhooks),
        id: shown.endpoint.id.to_string(),
        is_enabled: shown.endpoint.state.is_enabled(),
        statuses: statuses(&chosen),
        is_filtered: !chosen.is_empty(),
        deliveries: found.items.iter().map(|delivery| delivery_row(&endpoint.href, delivery)).collect(),
        endpoint,
        count: String::new(),
        pager,
        can_write: true,
    }))
}

async fn redeliver(
    State(shared): State<Shared>,
    Path((id, delivery_id)): Path<(String, String)>,
    sent: Submission,
) -> Result<Response, PageError> {
    require(&shared, &sent.visit, Action::RedeliverWebhook, Some(&id)).await?;
    let id = EndpointId::parse(&id).ok_or(PageError::NotFound)?;
    shared.app.redeliver_webhook(&sent.visit.person.caller, &delivery_id).await?;
    Ok(redirect_with(&format!("{WEBHOOKS}/{id}"), Notice::Redelivered))
}

fn statuses(chosen: &str) -> Vec<Choice> {
    let all = DeliveryStatus::ALL.map(|status| Choice::new(status.as_str(), status_badge(status).1));
    std::iter::once(Choice::new("", m::ANY)).chain(all).map(|choice| choice.chosen_if(chosen)).collect()
}

const fn status_badge(status: DeliveryStatus) -> (Tone, &'static str) {
    match status {
        DeliveryStatus::Waiting => (Tone::Busy, m::DELIVERY_WAITING),
        DeliveryStatus::Delivered => (Tone::Good, m::DELIVERY_DELIVERED),
        DeliveryStatus::Exhausted => (Tone::Bad, m::DELIVERY_EXHAUSTED),
    }
}

fn delivery_row(endpoint_href: &str, delivery: &Delivery) -> DeliveryRow {
    let (tone, text) = status_badge(delivery.status);
    let can_redeliver = delivery.status != DeliveryStatus::Waiting;
    DeliveryRow {
        event: delivery.event_type.clone(),
        status: Badge { tone, text: text.to_owned() },
        attempts: delivery.attempts.to_string(),
        result: delivery.last_attempt.as_ref().map(attempt_text).unwrap_or_default(),
        created: when(delivery.created_at),
        next_attempt: delivery.next_attempt_at.map(when),
        redeliver_href: can_redeliver
            .then(|| format!("{endpoint_href}/deliveries/{}/redeliver", delivery.id)),
        job_href: delivery.job_id.as_ref().map(|job| format!("/dashboard/uploads/{job}")),
    }
}

fn attempt_text(attempt: &Attempt) -> String {
    let millis = attempt.duration.as_millis().to_string();
    match attempt.result {
        AttemptResult::Http(status) => m::delivery_http(status, &millis),
        AttemptResult::NoResponse => m::delivery_no_response(&millis),
        AttemptResult::Unreachable => m::DELIVERY_UNREACHABLE.to_owned(),
        AttemptResult::NotAllowed => m::DELIVERY_NOT_ALLOWED.to_owned(),
        AttemptResult::EndpointDisabled => m::DELIVERY_ENDPOINT_DISABLED.to_owned(),
        AttemptResult::EndpointDeleted => m::DELIVERY_ENDPOINT_DELETED.to_owned(),
        AttemptResult::Unreadable => m::DELIVERY_UNREADABLE.to_owned(),
    }
}
