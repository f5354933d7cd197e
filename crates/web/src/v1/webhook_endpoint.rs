//! The wire types of webhook endpoints.

use app::{CreatedEndpoint, EndpointChange, EndpointDescription, EndpointDraft, ShownEndpoint};
use domain::secret::Secret;
use domain::webhook::{DisabledReason, EndpointState, EventFilter, EventType};
use serde::Serialize;
use utoipa::ToSchema;

use crate::UnknownFields;
use crate::error::Problem;
use crate::fields::{Fields, Known};
use crate::json::{Json, Keep};

const FIELDS: &[&str] = &["url", "events", "description", "enabled"];

pub(super) const KEEP: Keep<'_> = Keep { raw: &[], known: Some(FIELDS) };

/// A webhook endpoint. Fields without a value are omitted.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhookEndpoint)]
pub(crate) struct EndpointOut<'a> {
    #[schema(example = "whe_20260131090500042k3v9x0q2m7t1b8z")]
    endpoint_id: &'a str,
    #[schema(format = "uri", example = "https://hooks.example.com/vimeo")]
    url: &'a str,
    /// The types of events that it receives. Omitted: all, including those that later versions add.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Vec<String>, example = json!(["upload.completed", "upload.failed"]))]
    events: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "Notifies the billing service")]
    description: Option<&'a str>,
    /// `false`: it receives nothing.
    #[schema(example = true)]
    enabled: bool,
    /// Why the service disabled it: `gone` (it answered 410) or `failing` (no delivery succeeded for five days).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^(gone|failing)$", example = "failing")]
    disabled_reason: Option<&'static str>,
    /// The first failed attempt since the last successful delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-02-03T11:00:00.000Z")]
    failing_since_date: Option<String>,
    #[schema(format = DateTime, example = "2026-01-31T09:05:00.042Z")]
    created_date: String,
    #[schema(format = DateTime, example = "2026-01-31T09:05:00.042Z")]
    updated_date: String,
}

impl<'a> From<&'a ShownEndpoint> for EndpointOut<'a> {
    fn from(shown: &'a ShownEndpoint) -> Self {
        let endpoint = &shown.endpoint;
        let types = endpoint.events.types();
        Self {
            endpoint_id: endpoint.id.as_str(),
            url: shown.url.expose(),
            events: types.map(|types| types.into_iter().map(EventType::as_str).collect()),
            description: shown.description.as_deref(),
            enabled: endpoint.state.is_enabled(),
            disabled_reason: endpoint.state.disabled_reason().map(DisabledReason::as_str),
            failing_since_date: endpoint.failing_since.map(|at| at.to_string()),
            created_date: endpoint.created_at.to_string(),
            updated_date: endpoint.updated_at.to_string(),
        }
    }
}

/// A webhook endpoint with its new secret.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedWebhookEndpoint)]
pub(crate) struct CreatedEndpointOut<'a> {
    #[serde(flatten)]
    endpoint: EndpointOut<'a>,
    /// Signs its webhooks, in the format of the Standard Webhooks specification. Returned only once.
    #[schema(pattern = "^whsec_[A-Za-z0-9+/]+={0,2}$", example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: &'a str,
}

impl<'a> From<&'a CreatedEndpoint> for CreatedEndpointOut<'a> {
    fn from(created: &'a CreatedEndpoint) -> Self {
        Self { endpoint: EndpointOut::from(&created.shown), secret: created.secret.expose() }
    }
}

/// A page of webhook endpoints.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhookEndpointPage)]
pub(crate) struct EndpointsOut<'a> {
    pub(super) items: Vec<EndpointOut<'a>>,
    /// Omitted on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) next_page_key: Option<String>,
}

/// The settings of a new endpoint.
#[derive(ToSchema)]
#[schema(as = NewWebhookEndpoint)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct NewEndpointIn {
    /// Public and https, unless the operator allows others. Redirects are not followed.
    #[schema(format = "public-url", max_length = 8192, example = "https://hooks.example.com/vimeo")]
    url: String,
    /// The types of events that it receives. Omitted or null: all, including those that later versions add.
    #[schema(min_items = 1, max_items = 32, example = json!(["upload.completed", "upload.failed"]))]
    events: Option<Vec<String>>,
    #[schema(max_length = 250, format = "description-line", example = "Notifies the billing service")]
    description: Option<String>,
    /// Omitted or null: `true`.
    #[schema(example = true)]
    enabled: Option<bool>,
}

/// Changes of an endpoint. Omitted fields stay as they are.
#[derive(ToSchema)]
#[schema(as = WebhookEndpointChange)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct EndpointChangeIn {
    #[schema(
        format = "public-url",
        max_length = 8192,
        nullable = false,
        example = "https://hooks.example.com/vimeo"
    )]
    url: Option<String>,
    /// Null: all, including those that later versions add.
    #[schema(min_items = 1, max_items = 32, example = json!(["upload.completed", "upload.failed"]))]
    events: Option<Vec<String>>,
    /// Null or empty: none.
    #[schema(max_length = 250, format = "description-line", example = "Notifies the billing service")]
    description: Option<String>,
    /// Enabling it again forgets its failures.
    #[schema(nullable = false, example = true)]
    enabled: Option<bool>,
}

/// Checks a URL by its form and the operator's rules.
pub(super) type CheckUrl<'a> = &'a dyn Fn(&str) -> Result<Secret, String>;

/// The most types that a request names.
const EVENTS_MAX: usize = 32;

/// Reads the settings of a new endpoint.
pub(super) fn read_new(
    object: Vec<(String, Json)>,
    check_url: CheckUrl<'_>,
) -> Result<EndpointDraft, Problem> {
    let mut fields = Fields::new(object, Known::new(FIELDS, UnknownFields::Reject));
    let url = fields.required_text("url", check_url);
    let events = read_events(&mut fields);
    let description = fields.optional_text("description", EndpointDescription::parse);
    let is_enabled = fields.optional_bool("enabled").unwrap_or(true);
    let (errors, _) = fields.finish();
    match url {
        Some(url) if errors.is_empty() => {
            Ok(EndpointDraft { url, events, description, state: state(is_enabled) })
        }
        _ => Err(Problem::invalid_fields(errors)),
    }
}

/// Reads the changes of an endpoint.
pub(super) fn read_change(
    object: Vec<(String, Json)>,
    check_url: CheckUrl<'_>,
) -> Result<EndpointChange, Problem> {
    let mut fields = Fields::new(object, Known::new(FIELDS, UnknownFields::Reject));
    let has = |fields: &Fields, name| fields.is_present(name);
    let (has_events, has_description) = (has(&fields, "events"), has(&fields, "description"));
    let url = fields.changed_text("url", check_url);
    let events = read_events(&mut fields);
    let description = fields.optional_text("description", EndpointDescription::parse);
    let state = fields.changed_bool("enabled").map(state);
    let (errors, _) = fields.finish();
    if !errors.is_empty() {
        return Err(Problem::invalid_fields(errors));
    }
    Ok(EndpointChange {
        url,
        events: has_events.then_some(events),
        description: has_description.then_some(description),
        state,
    })
}

fn read_events(fields: &mut Fields) -> EventFilter {
    if !fields.is_set("events") {
        // Null too.
        fields.optional_texts("events", 0, EventType::parse);
        return EventFilter::All;
    }
    let types = fields.optional_texts("events", EVENTS_MAX, EventType::parse);
    if types.is_empty() && !fields.has_error(&["events"]) {
        fields.error::<()>("events", "must name at least one type of event; omit it for all");
    }
    EventFilter::only(types)
}

fn state(is_enabled: bool) -> EndpointState {
    if is_enabled { EndpointState::Enabled } else { EndpointState::Disabled(None) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::FieldError;

    fn check(text: &str) -> Result<Secret, String> {
        if text.starts_with("https:") {
            Ok(Secret::new(text.to_owned()))
        } else {
            Err("must be https".into())
        }
    }

    fn object(body: &serde_json::Value) -> Vec<(String, Json)> {
        let bytes = serde_json::to_vec(body).unwrap();
        match crate::json::parse_keeping(&bytes, KEEP) {
            Ok(Json::Object(object)) => object,
            _ => panic!("an object"),
        }
    }

    fn errors(result: Result<impl Sized, Problem>) -> Vec<String> {
        let problem = result.err().expect("errors");
        problem.fields.into_iter().map(|FieldError { name, errors }| format!("{name} {errors}")).collect()
    }

    #[test]
    fn an_endpoint_without_events_receives_all() {
        let draft = read_new(object(&serde_json::json!({ "url": "https://a.example" })), &check).unwrap();
        assert_eq!((draft.events, draft.state), (EventFilter::All, EndpointState::Enabled));
        let body = serde_json::json!({
            "url": "https://a.example", "events": ["upload.failed"], "description": "", "enabled": false });
        let draft = read_new(object(&body), &check).unwrap();
        assert_eq!(draft.events, EventFilter::only([EventType::UploadFailed]));
        assert_eq!((draft.description, draft.state), (None, EndpointState::Disabled(None)));
    }

    #[test]
    fn every_fault_is_reported_at_once() {
        let body = serde_json::json!({
            "url": "http://a.example", "events": ["webhook.test"], "description": "a\nb", "enabled": 1, "secert": 1 });
        let found = errors(read_new(object(&body), &check));
        assert_eq!(found.len(), 5, "{found:#?}");
        let empty = errors(read_new(object(&serde_json::json!({ "events": [] })), &check));
        assert_eq!(empty.len(), 2, "{empty:#?}");
        let near = errors(read_change(object(&serde_json::json!({ "enable": true })), &check));
        assert_eq!(near, ["enable is not a known field; did you mean enabled?"]);
        let null = errors(read_change(object(&serde_json::json!({ "url": null, "enabled": null })), &check));
        assert_eq!(null.len(), 2, "{null:#?}");
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let change = read_change(object(&serde_json::json!({})), &check).unwrap();
        assert!(change.url.is_none() && change.events.is_none() && change.description.is_none());
        let change = read_change(object(&serde_json::json!({ "events": null, "description": null })), &check);
        let change = change.unwrap();
        assert_eq!((change.events, change.description), (Some(EventFilter::All), Some(None)));
    }
}
