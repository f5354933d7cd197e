//! The device flow: a device shows a code, its user enters the code in a browser, and the device polls for the token.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::authorize::{AuthorizationRequest, show_consent};
use super::parameters::Parameters;
use super::{client, grant, invalid_request, parameters, require_grant};
use crate::api_request::{ApiRequest, HandlerResult};
use crate::app_state::AppState;
use crate::errors;
use crate::pages::{self, presentable};
use crate::scopes::Scopes;
use crate::state::{DeviceRefusal, GRANT_LIFETIME, GrantFlow, hyphenated};

const GRANT: &str = "device_grant";
// The interval of Vimeo's library for iOS.
const POLL_SECONDS: u32 = 5;
const TYPED_MAX_CHARACTERS: usize = 40;

/// `POST /oauth/device`: starts the flow.
pub(crate) async fn start_device(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    let app = client(&app_state, &request)?;
    let asked = parameters(&request)?;
    require_grant(&asked, GRANT)?;
    let (scopes, unknown) = Scopes::requested(asked.text("scope").map_err(invalid_request)?);
    let now = app_state.now();
    let (device_code, device) = app_state.vimeo().add_device(app.id, scopes, unknown, now);
    let user_code = hyphenated(&device.user_code);
    let base = &app_state.base_url;
    Ok(errors::granted(&json!({
        "device_code": device_code,
        "user_code": user_code,
        // A browser finds the page at this address, and a device may poll it too.
        "authorize_link": format!("{base}/oauth/device/authorize?user_code={user_code}"),
        "activate_link": format!("{base}/activate"),
        "expires_in": GRANT_LIFETIME.as_secs(),
        "interval": POLL_SECONDS,
    })))
}

/// `POST /oauth/device/authorize`: a device polls for the decision.
pub(crate) async fn poll_device(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    let app = client(&app_state, &request)?;
    let asked = parameters(&request)?;
    // Some clients send it here too.
    if asked.text("grant_type").map_err(invalid_request)?.is_some() {
        require_grant(&asked, GRANT)?;
    }
    let user_code = asked.required("user_code").map_err(invalid_request)?;
    let device_code = asked.required("device_code").map_err(invalid_request)?;
    let now = app_state.now();
    let redeemed = app_state.vimeo().redeem_device(app.id, device_code, user_code, now);
    let token = redeemed.map_err(|refusal| {
        let (error, text) = match refusal {
            DeviceRefusal::Pending => ("authorization_pending", "The user has not decided yet."),
            DeviceRefusal::Denied => ("access_denied", "The user denied the request."),
            DeviceRefusal::Expired => ("expired_token", "The device code has expired."),
            DeviceRefusal::Invalid => ("invalid_request", "Invalid device code"),
        };
        errors::oauth(StatusCode::BAD_REQUEST, error, text)
    })?;
    Ok(grant(&app_state, &token, &app))
}

#[derive(Template)]
#[template(path = "device.html")]
struct DevicePage<'a> {
    typed: &'a str,
    complaint: Option<&'a str>,
}

/// `GET /activate` and `GET /oauth/device/authorize`: the form for the code, and with a code the consent page.
pub(crate) async fn show_code_form(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> Response {
    let asked = Parameters::of_form(request.query.as_deref().unwrap_or_default().as_bytes());
    let typed = match asked.text("user_code") {
        Ok(Some(typed)) => typed,
        Ok(None) => return pages::page(StatusCode::OK, &DevicePage { typed: "", complaint: None }),
        Err(sentence) => return error_page("", &sentence),
    };
    let now = app_state.now();
    let mut vimeo_state = app_state.vimeo();
    let waiting =
        vimeo_state.find_waiting_device(typed, now).map(|(code, device)| (code.to_owned(), device.clone()));
    let app = waiting.as_ref().and_then(|(_, device)| vimeo_state.live_app(device.app)).cloned();
    let (Some((device_code, device)), Some(app)) = (waiting, app) else {
        return error_page(
            typed,
            "No device is waiting for this code. It may be mistyped, expired or already used.",
        );
    };
    let flow = GrantFlow::Device { device_code, user_code: hyphenated(&device.user_code) };
    show_consent(
        &mut vimeo_state,
        &app,
        AuthorizationRequest { scopes: device.scopes, unknown: device.unknown_scopes, flow },
        now,
    )
}

fn error_page(typed: &str, complaint: &str) -> Response {
    let typed = presentable(typed, TYPED_MAX_CHARACTERS);
    pages::page(StatusCode::BAD_REQUEST, &DevicePage { typed: &typed, complaint: Some(complaint) })
}
