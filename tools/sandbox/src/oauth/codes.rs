//! `POST /oauth/access_token`: the exchange of a code for a token.

use std::sync::Arc;

use axum::extract::State;

use super::{client, grant, invalid_request, parameters, require_grant};
use crate::ask::{Answered, Ask};
use crate::desk::Desk;
use crate::state::CodeRefusal;

/// `POST /oauth/access_token`.
pub(crate) async fn exchange_code(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let app = client(&desk, &ask)?;
    let asked = parameters(&ask)?;
    require_grant(&asked, "authorization_code")?;
    let code = asked.required("code").map_err(invalid_request)?;
    let redirect_uri = asked.text("redirect_uri").map_err(invalid_request)?;
    let now = desk.now();
    // Under one lock from the look to the taking, so that of many who bring the same code one gets the token.
    let redeemed = desk.world().redeem_code(app.id, code, redirect_uri, now);
    let token = redeemed.map_err(|refusal| {
        invalid_request(match refusal {
            CodeRefusal::Invalid => "Invalid authorization code",
            CodeRefusal::OtherRedirect => {
                "The redirect_uri must be the one that the authorization code was asked for with."
            }
        })
    })?;
    Ok(grant(&desk, &token, &app))
}
