//! The device flow: a device shows a code, its user types the code in a browser, and the device asks until it is told.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::authorize::{Wish, ask_user};
use super::parameters::Parameters;
use super::{client, grant, invalid_request, parameters, require_grant};
use crate::ask::{Answered, Ask};
use crate::desk::Desk;
use crate::errors;
use crate::pages::{self, presentable};
use crate::scopes::Scopes;
use crate::state::{DeviceRefusal, GRANT_LIFETIME, Way, hyphenated};

const GRANT: &str = "device_grant";
// What Vimeo's library for iOS does by itself.
const POLL_SECONDS: u32 = 5;
const TYPED_MAX_CHARACTERS: usize = 40;

/// `POST /oauth/device`: a device begins.
pub(crate) async fn begin_device(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let app = client(&desk, &ask)?;
    let asked = parameters(&ask)?;
    require_grant(&asked, GRANT)?;
    let (scopes, unknown) = Scopes::wished(asked.text("scope").map_err(invalid_request)?);
    let now = desk.now();
    let (device_code, device) = desk.world().add_device(app.id, scopes, unknown, now);
    let user_code = hyphenated(&device.user_code);
    let base = &desk.base_url;
    Ok(errors::granted(&json!({
        "device_code": device_code,
        "user_code": user_code,
        // A browser finds the page there, and a device that asks there is answered as well.
        "authorize_link": format!("{base}/oauth/device/authorize?user_code={user_code}"),
        "activate_link": format!("{base}/activate"),
        "expires_in": GRANT_LIFETIME.as_secs(),
        "interval": POLL_SECONDS,
    })))
}

/// `POST /oauth/device/authorize`: a device asks whether its user has answered.
pub(crate) async fn poll_device(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let app = client(&desk, &ask)?;
    let asked = parameters(&ask)?;
    // Some clients say it here too.
    if asked.text("grant_type").map_err(invalid_request)?.is_some() {
        require_grant(&asked, GRANT)?;
    }
    let user_code = asked.required("user_code").map_err(invalid_request)?;
    let device_code = asked.required("device_code").map_err(invalid_request)?;
    let now = desk.now();
    let redeemed = desk.world().redeem_device(app.id, device_code, user_code, now);
    let token = redeemed.map_err(|refusal| {
        let (error, text) = match refusal {
            DeviceRefusal::Pending => ("authorization_pending", "The user has not answered yet."),
            DeviceRefusal::Denied => ("access_denied", "The user denied the request."),
            DeviceRefusal::Expired => ("expired_token", "The device code is too old."),
            DeviceRefusal::Invalid => ("invalid_request", "Invalid device code"),
        };
        errors::oauth(StatusCode::BAD_REQUEST, error, text)
    })?;
    Ok(grant(&desk, &token, &app))
}

#[derive(Template)]
#[template(path = "device.html")]
struct DevicePage<'a> {
    typed: &'a str,
    complaint: Option<&'a str>,
}

/// `GET /activate` and `GET /oauth/device/authorize`: asks for the code, and with a code asks what it is for.
pub(crate) async fn ask_for_code(State(desk): State<Arc<Desk>>, ask: Ask) -> Response {
    let asked = Parameters::of_form(ask.query.as_deref().unwrap_or_default().as_bytes());
    let typed = match asked.text("user_code") {
        Ok(Some(typed)) => typed,
        Ok(None) => return pages::page(StatusCode::OK, &DevicePage { typed: "", complaint: None }),
        Err(sentence) => return complain("", &sentence),
    };
    let now = desk.now();
    let mut world = desk.world();
    let waiting =
        world.find_waiting_device(typed, now).map(|(code, device)| (code.to_owned(), device.clone()));
    let app = waiting.as_ref().and_then(|(_, device)| world.app_by_id(device.app)).cloned();
    let (Some((device_code, device)), Some(app)) = (waiting, app) else {
        return complain(
            typed,
            "No device waits for this code. It may be mistyped, too old, or answered already.",
        );
    };
    let way = Way::Device { device_code, user_code: hyphenated(&device.user_code) };
    ask_user(&mut world, &app, Wish { scopes: device.scopes, unknown: device.unknown_scopes, way }, now)
}

fn complain(typed: &str, complaint: &str) -> Response {
    let typed = presentable(typed, TYPED_MAX_CHARACTERS);
    pages::page(StatusCode::BAD_REQUEST, &DevicePage { typed: &typed, complaint: Some(complaint) })
}
