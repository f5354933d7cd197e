//! `POST /oauth/access_token`: the exchange of a code for a token.

use std::sync::Arc;

use axum::extract::State;

use super::{client, grant, invalid_request, parameters, require_grant};
use crate::api_request::{ApiRequest, HandlerResult};
use crate::app_state::AppState;
use crate::state::CodeRefusal;

/// `POST /oauth/access_token`.
pub(crate) async fn exchange_code(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    let app = client(&app_state, &request)?;
    let asked = parameters(&request)?;
    require_grant(&asked, "authorization_code")?;
    let code = asked.required("code").map_err(invalid_request)?;
    let redirect_uri = asked.text("redirect_uri").map_err(invalid_request)?;
    let now = app_state.now();
    // Checked and taken under one lock, so that of several requests with the same code one gets the token.
    let redeemed = app_state.vimeo().redeem_code(app.id, code, redirect_uri, now);
    let token = redeemed.map_err(|refusal| {
        invalid_request(match refusal {
            CodeRefusal::Invalid => "Invalid authorization code",
            CodeRefusal::OtherRedirect => {
                "The redirect_uri must be the one that the authorization code was asked for with."
            }
        })
    })?;
    Ok(grant(&app_state, &token, &app))
}
