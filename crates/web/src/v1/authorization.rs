//! The wire types of authorizations.

use app::{
    AuthorizationDraft, AuthorizationTarget, CreatedAuthorization, DevicePrompt, DraftFlow, DraftTarget,
    ReturnUrl, ShownAuthorization, VIMEO_SCOPES, VimeoAccount,
};
use domain::authorization::{AuthorizationState, FailureReason};
use domain::connection::{ClientIdentifier, ClientSecret, ConnectionName, Description};
use domain::id::ConnectionId;
use domain::secret::Secret;
use serde::Serialize;
use utoipa::ToSchema;

use crate::UnknownFields;
use crate::error::Problem;
use crate::fields::{Fields, Known};
use crate::json::{Json, Keep};

const FIELDS: &[&str] = &[
    "flow",
    "name",
    "description",
    "connectionId",
    "clientIdentifier",
    "clientSecret",
    "scopes",
    "returnUrl",
];

pub(super) const KEEP: Keep<'_> = Keep { raw: &[], known: Some(FIELDS) };

/// The most scopes that a request names.
const SCOPES_MAX: usize = 32;

/// An authorization. Fields without a value are omitted.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Authorization)]
pub(crate) struct AuthorizationOut<'a> {
    #[schema(example = "auth_20260131090500042k3v9x0q2m7t1b8z")]
    authorization_id: &'a str,
    #[schema(pattern = "^(redirect|device)$", example = "redirect")]
    flow: &'static str,
    /// `pending`: no browser was sent to Vimeo yet, or the person has to try again. `started`: one was. The others are final.
    #[schema(pattern = "^(pending|started|completed|denied|failed|expired)$", example = "pending")]
    status: &'static str,
    /// Why it failed, or why the last attempt of the person did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "SCOPES_MISSING")]
    reason: Option<&'static str>,
    /// The reason in a sentence, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<&'static str>,
    /// The connection that was created, or that is renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "20260131090500042k3v9x0q2m7t1b8z")]
    connection_id: Option<&'a str>,
    /// The name of the connection.
    #[schema(example = "Test Vimeo Connection")]
    name: &'a str,
    #[schema(example = "5cd72e4cbd1e4b7f9b0f6d0c2a5e8f1b3c6d9e0f")]
    client_identifier: &'a str,
    /// The scopes that the person is asked for.
    #[schema(value_type = Vec<String>, example = json!(["public", "private", "upload", "edit"]))]
    scopes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "uri", example = "https://app.example.com/connected")]
    return_url: Option<&'a str>,
    #[schema(format = DateTime, example = "2026-01-31T09:05:00.042Z")]
    created_date: String,
    /// Until when the person must have decided.
    #[schema(format = DateTime, example = "2026-01-31T09:35:00.042Z")]
    expires_date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-01-31T09:07:10.042Z")]
    ended_date: Option<String>,
    /// What the person enters, with the device flow and until it ends. Not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "WDJB-MJHT")]
    user_code: Option<&'a str>,
    /// Where the person enters it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "uri", example = "https://vimeo.com/activate")]
    activate_url: Option<&'a str>,
    /// Seconds after which the status can have changed. Polling more often shows the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, example = 5)]
    interval: Option<u64>,
    /// Who authorised.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    vimeo_account: Option<VimeoAccountOut<'a>>,
    /// The scopes that were granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Vec<String>, example = json!(["public", "private", "upload", "edit"]))]
    granted_scopes: Option<&'a [String]>,
    /// `false`: the app may not upload to this account yet. Omitted if Vimeo did not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = true)]
    upload_access: Option<bool>,
}

/// The Vimeo account that a person authorised.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuthorizedVimeoAccount)]
pub(crate) struct VimeoAccountOut<'a> {
    #[schema(example = "Vera Example")]
    name: &'a str,
    #[schema(example = "/users/1234567")]
    uri: &'a str,
    /// The plan, as Vimeo names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "plus")]
    account_type: Option<&'a str>,
}

impl<'a> From<&'a ShownAuthorization> for AuthorizationOut<'a> {
    fn from(shown: &'a ShownAuthorization) -> Self {
        let ShownAuthorization { authorization, request, device, outcome } = shown;
        let reason = authorization.failure();
        let connection_id = match (&authorization.state, &request.target) {
            (AuthorizationState::Completed { connection_id, .. }, _)
            | (_, AuthorizationTarget::Renew { connection_id, .. }) => Some(connection_id),
            _ => None,
        };
        let account = outcome.as_ref().and_then(|outcome| outcome.account.as_ref());
        Self {
            authorization_id: authorization.id.as_str(),
            flow: authorization.flow.as_str(),
            status: authorization.state.status(),
            reason: reason.map(FailureReason::as_str),
            message: reason.map(FailureReason::message),
            connection_id: connection_id.map(ConnectionId::as_str),
            name: request.target.name().as_str(),
            client_identifier: request.client_identifier.as_str(),
            scopes: &request.scopes,
            return_url: request.return_url.as_ref().map(ReturnUrl::as_str),
            created_date: authorization.created_at.to_string(),
            expires_date: authorization.expires_at.to_string(),
            ended_date: authorization.state.ended_at().map(|at| at.to_string()),
            user_code: device.as_ref().map(|device| device.user_code.expose()),
            activate_url: device.as_ref().map(|device| device.activate_url.as_str()),
            interval: device.as_ref().map(|DevicePrompt { interval_seconds, .. }| *interval_seconds),
            vimeo_account: account.map(|VimeoAccount { name, uri, account_type }| VimeoAccountOut {
                name,
                uri,
                account_type: account_type.as_deref(),
            }),
            granted_scopes: outcome.as_ref().map(|outcome| outcome.granted_scopes.as_slice()),
            upload_access: outcome.as_ref().and_then(|outcome| outcome.has_upload_access),
        }
    }
}

/// A new authorization, with the page for the person.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CreatedAuthorization)]
pub(crate) struct CreatedAuthorizationOut<'a> {
    #[serde(flatten)]
    authorization: AuthorizationOut<'a>,
    /// The page that the person opens. Returned only once. Omitted with the device flow if the service has no public URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "uri", example = "https://connect.example.com/connect/0m3k…")]
    connect_url: Option<&'a str>,
}

impl<'a> From<&'a CreatedAuthorization> for CreatedAuthorizationOut<'a> {
    fn from(created: &'a CreatedAuthorization) -> Self {
        let connect_url = created.connect_url.as_ref().map(Secret::expose);
        Self { authorization: AuthorizationOut::from(&created.shown), connect_url }
    }
}

/// A page of authorizations, newest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuthorizationPage)]
pub(crate) struct AuthorizationsOut<'a> {
    pub(super) items: Vec<AuthorizationOut<'a>>,
    /// Omitted on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) next_page_key: Option<String>,
}

/// What a person is asked for. With `connectionId`, an existing connection gets a new token; otherwise a connection is created,
/// and `name`, `clientIdentifier` and `clientSecret` are required.
#[derive(ToSchema)]
#[schema(as = NewAuthorization, rename_all = "camelCase")]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct NewAuthorizationIn {
    /// Omitted or null: `redirect`. `device`: for people who cannot be redirected; they enter a code at Vimeo.
    #[schema(pattern = "^(redirect|device)$", example = "redirect")]
    flow: Option<String>,
    #[schema(
        min_length = 1,
        max_length = 100,
        format = "connection-name",
        example = "Test Vimeo Connection"
    )]
    name: Option<String>,
    #[schema(max_length = 250, example = "Authorised by the customer")]
    description: Option<String>,
    /// The connection to renew.
    #[schema(example = "20260131090500042k3v9x0q2m7t1b8z")]
    connection_id: Option<String>,
    /// The Vimeo app. With `connectionId` both may be omitted: those of the connection are used.
    #[schema(
        min_length = 1,
        max_length = 500,
        pattern = "^[!-~]+$",
        example = "5cd72e4cbd1e4b7f9b0f6d0c2a5e8f1b3c6d9e0f"
    )]
    client_identifier: Option<String>,
    #[schema(min_length = 1, max_length = 500, pattern = "^[!-~]+$", example = "a-client-secret")]
    client_secret: Option<String>,
    /// The scopes to ask for, with those that connections need. Omitted, null or empty: `public` and those.
    #[schema(max_items = 32, example = json!(["public", "private", "upload", "edit"]))]
    scopes: Option<Vec<String>>,
    /// Where the person is sent at the end, with `authorizationId` and `result` (`connected`, `denied` or `failed`) added to the
    /// query: https, or http on a loopback host.
    #[schema(format = "return-url", max_length = 2000, example = "https://app.example.com/connected")]
    return_url: Option<String>,
}

/// Returns the required scopes that are missing in these.
pub(super) type MissingScopes<'a> = &'a dyn Fn(&[String]) -> Vec<String>;

/// Reads what a person is asked for, or returns all errors.
pub(super) fn read_new(
    object: Vec<(String, Json)>,
    missing_scopes: MissingScopes<'_>,
) -> Result<AuthorizationDraft, Problem> {
    let mut fields = Fields::new(object, Known::new(FIELDS, UnknownFields::Reject));
    let flow = fields.optional_text("flow", read_flow).unwrap_or(DraftFlow::Redirect);
    let target = read_target(&mut fields);
    let scopes = fields.optional_texts("scopes", SCOPES_MAX, read_scope);
    let missing = missing_scopes(&scopes);
    if !missing.is_empty() && !fields.has_error(&["scopes"]) {
        let errors = format!("must include {}, which connections need", missing.join(", "));
        fields.error::<()>("scopes", &errors);
    }
    let return_url = fields.optional_text("returnUrl", |text| ReturnUrl::parse(text).map(Some));
    let (errors, _) = fields.finish();
    match target {
        Some(target) if errors.is_empty() => Ok(AuthorizationDraft { flow, target, scopes, return_url }),
        _ => Err(Problem::invalid_fields(errors)),
    }
}

fn read_target(fields: &mut Fields) -> Option<DraftTarget> {
    if !fields.is_set("connectionId") {
        fields.optional_text("connectionId", |_| Ok::<Option<()>, String>(None));
        let name = fields.required_text("name", ConnectionName::parse);
        let description = fields.optional_text("description", Description::parse);
        let app = read_app(fields);
        return Some(DraftTarget::Create { name: name?, description, app: app? });
    }
    let parse = |text: &str| ConnectionId::parse(text).map(Some).ok_or("is not the ID of a connection");
    let connection_id = fields.optional_text("connectionId", parse);
    for name in ["name", "description"] {
        if fields.is_set(name) {
            fields.reject(name, "must be omitted with connectionId: the connection keeps its own");
        } else {
            fields.optional_text(name, |_| Ok::<Option<()>, String>(None));
        }
    }
    let app = if fields.is_set("clientIdentifier") || fields.is_set("clientSecret") {
        Some(read_app(fields)?)
    } else {
        for name in ["clientIdentifier", "clientSecret"] {
            fields.optional_text(name, |_| Ok::<Option<()>, String>(None));
        }
        None
    };
    Some(DraftTarget::Renew { connection_id: connection_id?, app })
}

/// Both, with all their errors.
fn read_app(fields: &mut Fields) -> Option<(ClientIdentifier, ClientSecret)> {
    let identifier = fields.required_text("clientIdentifier", ClientIdentifier::parse);
    let secret = fields.required_text("clientSecret", ClientSecret::parse);
    Some((identifier?, secret?))
}

fn read_flow(text: &str) -> Result<Option<DraftFlow>, &'static str> {
    match text {
        "redirect" => Ok(Some(DraftFlow::Redirect)),
        "device" => Ok(Some(DraftFlow::Device)),
        _ => Err("must be redirect or device"),
    }
}

fn read_scope(text: &str) -> Result<String, String> {
    if VIMEO_SCOPES.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("must be one of {}", VIMEO_SCOPES.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::FieldError;

    fn read(body: &serde_json::Value) -> Result<AuthorizationDraft, Vec<String>> {
        let bytes = serde_json::to_vec(body).unwrap();
        let Ok(Json::Object(object)) = crate::json::parse_keeping(&bytes, KEEP) else { panic!("an object") };
        let missing = |scopes: &[String]| {
            let has = |name: &str| scopes.is_empty() || scopes.iter().any(|scope| scope == name);
            if has("upload") { Vec::new() } else { vec!["upload".to_owned()] }
        };
        read_new(object, &missing).map_err(|problem| {
            let errors = problem.fields.into_iter();
            errors.map(|FieldError { name, errors }| format!("{name} {errors}")).collect()
        })
    }

    #[test]
    fn a_new_connection_needs_a_name_and_an_app_and_a_renewal_neither() {
        let body = serde_json::json!({"name": "a", "clientIdentifier": "c", "clientSecret": "s"});
        let draft = read(&body).unwrap();
        assert_eq!((draft.flow, draft.scopes.len()), (DraftFlow::Redirect, 0));
        assert!(matches!(draft.target, DraftTarget::Create { description: None, .. }));
        let id = "20260131090500042k3v9x0q2m7t1b8z";
        let body = serde_json::json!({"connectionId": id, "flow": "device", "name": null, "clientSecret": null,
            "scopes": ["public", "upload"], "returnUrl": "https://app.example.com/"});
        let draft = read(&body).unwrap();
        assert!(matches!(draft.target, DraftTarget::Renew { app: None, .. }));
        assert_eq!((draft.flow, draft.scopes.len()), (DraftFlow::Device, 2));
        assert_eq!(draft.return_url.unwrap().host(), "app.example.com");
        let body = serde_json::json!({"connectionId": id, "clientIdentifier": "c", "clientSecret": "s"});
        assert!(matches!(read(&body).unwrap().target, DraftTarget::Renew { app: Some(_), .. }));
    }

    #[test]
    fn every_fault_is_reported_at_once() {
        let body = serde_json::json!({"flow": "implicit", "name": "", "clientIdentifier": 1, "scopes": ["public"],
            "returnUrl": "http://app.example.com/", "accessToken": "x"});
        let errors = read(&body).unwrap_err();
        assert_eq!(errors.len(), 7, "{errors:#?}");
        let body = serde_json::json!({"connectionId": "x", "name": "a", "clientIdentifier": "c", "scopes": ["video"]});
        let errors = read(&body).unwrap_err();
        assert_eq!(errors.len(), 4, "{errors:#?}");
        assert!(errors.iter().any(|error| error.starts_with("clientSecret is required")), "{errors:#?}");
        let errors = read(&serde_json::json!({"scopes": ["public"], "name": "a"})).unwrap_err();
        assert!(
            errors.contains(&"scopes must include upload, which connections need".to_owned()),
            "{errors:#?}"
        );
    }
}
